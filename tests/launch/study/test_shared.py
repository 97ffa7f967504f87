"""Several drivers share one study in a PostgreSQL database: its trials, limits and results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from launch.study.failures import Failure
from launch.study.heart import LOOKS
from launch.study.joining import ADDRESS
from launch.study.opening import open_study, read_records
from launch.study.settings import StudyError, StudySettings, read_settings
from tests.launch.made_up import altered, cost, result
from tests.launch.study.sharing import look, run, told


def test_drivers_share_trials_limits_and_results(
    settings: StudySettings, address: str, tmp_path: Path
) -> None:
    with open_study(tmp_path / "a", settings) as a, open_study(tmp_path / "b", settings) as b:
        first, second = a.propose(), b.propose()
        assert (first.number, second.number) == (0, 1)
        assert first.config != second.config
        a.end(0, result(first, ap_small=0.2))
        b.end(1, result(second, ap_small=0.3))
        mine, others = run(a), run(b)
        assert sorted([0, 1, *mine, *others]) == list(range(6))
        assert a.propose() is None
        assert not a.waits
        b._journal.refresh()
    for folder in (tmp_path / "a", tmp_path / "b"):
        records = read_records(folder)
        assert [record.state for record in records] == ["finished"] * 6
        assert records[1].finished.figure("ap_small") == 0.3
        assert (folder / records[1].folder).parent == tmp_path / "b" / "trials"
    trials = told(address, settings.shared.name)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert len({record.config.digest() for record in records}) == 6


def test_a_dead_drivers_trial_is_taken_over_and_it_writes_nothing_of_it_any_more(
    settings: StudySettings, address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = altered(settings, trials=2)
    with open_study(tmp_path / "a", settings) as a, open_study(tmp_path / "b", settings) as b:
        frozen, other = a.propose(), b.propose()
        b.end(other.number, result(other))
        assert b.propose() is None
        assert b.waits, "the other's trial may have to be taken over"
        look(b, LOOKS)
        assert b.propose() is None, "it may live"
        look(b)
        taken = b.propose()
        assert taken.number == frozen.number
        assert taken.folder == frozen.folder
        assert "is silent: its trials are taken over" in caplog.text
        # The first one comes back.
        a._journal._looked = -1e9
        assert not a.note_prediction(frozen.number, cost(50.0), 0.1)
        a.end(frozen.number, result(frozen, ap_small=0.9))
        assert "was taken over by another driver" in caplog.text
        b.end(taken.number, result(taken, ap_small=0.4))
        a.end(frozen.number, result(frozen, ap_small=0.9))
        look(a, 1)
        assert a.propose() is None
        assert not a.waits
        assert not b.waits
        for study in (a, b):
            assert study.record(frozen.number).finished.figure("ap_small") == 0.4
    assert [t.state for t in told(address, settings.shared.name)] == [TrialState.COMPLETE] * 2


def test_who_leaves_hands_over_and_who_resumes_goes_on_with_its_own_at_once(
    settings: StudySettings, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = altered(settings, trials=2)
    with open_study(tmp_path / "a", settings) as a:
        first = a.propose()
    with (
        pytest.raises(StudyError, match=f"give it with --storage, or set {ADDRESS}"),
        open_study(tmp_path / "a"),
    ):
        pass
    monkeypatch.setenv(ADDRESS, address)
    with open_study(tmp_path / "a") as a:
        assert a.propose() == first
        assert a.note_prediction(first.number, cost(50.0), 0.1)
    with open_study(tmp_path / "b", settings) as b:
        taken = b.propose()
        assert taken.number == first.number
        assert taken.predicted == cost(50.0)
        run(b)
        b.end(taken.number, result(taken))
    with open_study(tmp_path / "a") as a:
        a.extend(3)
    with open_study(tmp_path / "b") as b:
        b._journal._looked = -1e9
        assert run(b) == [2]
        assert read_settings(tmp_path / "b").budget.trials == 3


def test_a_failed_trial_is_tried_again_and_a_driver_that_stops_hands_its_trial_over(
    settings: StudySettings, address: str, tmp_path: Path
) -> None:
    settings = altered(settings, trials=2)
    with open_study(tmp_path / "a", settings) as a:
        first, second = a.propose(), a.propose()
        a.end(first.number, Failure("its process was lost", "passing", 1.0))
        a.end(second.number, Failure("there is no space left", "surroundings", 1.0))
        assert a.propose() is None
    with open_study(tmp_path / "b", settings) as b:
        assert b.record(first.number).state == "failed"
        assert b.try_again(lasting=False) == 1
        assert sorted(run(b)) == [0, 1]
    states = [trial.state for trial in told(address, settings.shared.name)]
    assert sorted(state.name for state in states) == ["COMPLETE", "COMPLETE", "FAIL"]


def test_time_counts_from_the_first_driver_at_work_and_anew_when_there_was_none(
    settings: StudySettings, address: str, tmp_path: Path
) -> None:
    settings = altered(settings, minutes=30.0)
    with open_study(tmp_path / "a", settings) as a:
        assert a.propose() is not None
        with psycopg_connection(address) as connection:
            connection.execute(
                "UPDATE sparrow_studies SET opened = opened - interval '1 hour' WHERE name = %s",
                [settings.shared.name],
            )
        with open_study(tmp_path / "b", settings) as b:
            assert b.propose() is None
            assert b.waits
    with open_study(tmp_path / "b", storage=address) as b:
        assert len(run(b)) == 6


def test_connections_that_break_are_made_again_and_no_trial_is_lost_or_run_twice(
    settings: StudySettings, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_study(tmp_path / "a", altered(settings, trials=3)) as study:
        record = study.propose()
        with psycopg_connection(address) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        study.end(record.number, result(record))
        calls: list[int] = []
        claim = study._optuna.claim

        def breaks_once(trial: optuna.Trial, number: int) -> None:
            calls.append(number)
            if len(calls) == 1:
                raise OperationalError("", {}, ConnectionError("the server closed the connection"))
            claim(trial, number)

        monkeypatch.setattr(study._optuna, "claim", breaks_once)
        assert run(study) == [1, 2]
    assert [r.state for r in read_records(tmp_path / "a")] == ["finished"] * 3
    states = [trial.state for trial in told(address, settings.shared.name)]
    assert states.count(TrialState.COMPLETE) == 3
    assert TrialState.RUNNING not in states


def psycopg_connection(address: str) -> Any:
    import psycopg

    return psycopg.connect(address, autocommit=True)
