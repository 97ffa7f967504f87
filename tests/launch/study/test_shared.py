"""Several drivers share one study in a PostgreSQL database."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from launch.records import TrialRecord
from launch.searches import report, resume, search
from launch.study import heart, shared_journal
from launch.study.failures import Failure
from launch.study.heart import LOOKS
from launch.study.joining import ADDRESS
from launch.study.opening import open_study, read_records
from launch.study.search_settings import SearchSettings
from launch.study.settings import StudyError, StudySettings, read_settings
from launch.study.study import Study
from launch.trial.errors import SettingsError
from searchspace import Space, load_space
from tests.launch.made_up import altered, cost, result, settings_for
from tests.postgres import PASSWORD, server

FORK = multiprocessing.get_context("fork")
"""Processes that need not import everything again."""

TRIALS = 30
SCORES = {"killed": 0.1, "steady": 0.2, "frozen": 0.3}
"""By driver, the AP_small of all of its results."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with server() as found:
        yield found


@pytest.fixture
def settings(address: str, request: pytest.FixtureRequest) -> StudySettings:
    return settings_of(address, request.node.name)


def settings_of(address: str, name: str, **changes: Any) -> StudySettings:
    options = {"trials": 6, "sampler": "random", "papers": False, **changes}
    return settings_for(load_space("quick"), storage=address, study_name=name, **options)


def look(study: Study, times: int = LOOKS + 1) -> None:
    """Let the driver of a study look for the others' beats."""
    for _ in range(times):
        study._journal._heart.beat()
    study._journal._looked = -1e9


def told(address: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """The trials of the Optuna study in the database."""
    url = address.replace("postgresql:", "postgresql+psycopg:")
    return optuna.load_study(study_name=name, storage=url).trials


def anywhere(record: TrialRecord) -> TrialRecord:
    """The record without the folder, which drivers see from where they are."""
    return record.model_copy(update={"folder": ""})


def run(study: Study) -> list[int]:
    """Run trials until there is none for this driver; returns their numbers."""
    numbers = []
    while record := study.propose():
        study.end(record.number, result(record))
        numbers.append(record.number)
    return numbers


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


def test_a_driver_with_other_settings_is_told_which_and_how_to_join(
    settings: StudySettings, address: str, tmp_path: Path
) -> None:
    with open_study(tmp_path / "a", settings):
        pass
    for changes, message in {
        ("trials", 9): "the study's trials is 6, and here it is 9: give the same, or begin",
        ("seed", 3): "the study's seed is 0, and here it is 3",
        ("fingerprint", "other"): "other data: give a copy of the same",
    }.items():
        other = altered(settings, **dict([changes]))
        with pytest.raises(StudyError, match=message) as error:
            begin(tmp_path / "b", other)
        assert PASSWORD not in str(error.value)
        assert not (tmp_path / "b" / "study.json").exists()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            "mysql://me:correct-horse@localhost/x",
            r"mysql://\*\*\*@localhost/x: give the address of",
        ),
        ("postgresql://me:correct-horse@127.0.0.1:9/x", r"\*\*\*@127.0.0.1:9/x: .*[Cc]onnection"),
    ],
)
def test_an_address_that_does_not_do_is_refused_without_its_password(
    bad: str, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("psycopg")
    settings = settings_for(load_space("quick"), storage=bad)
    with pytest.raises(StudyError, match=message) as error:
        begin(tmp_path / "a", settings)
    assert "correct-horse" not in str(error.value)


def test_the_address_is_stored_nowhere(
    settings: StudySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with open_study(tmp_path / "a", settings) as study:
        run(study)
    front = report(tmp_path / "a")
    assert front.members
    texts = [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert any(settings.shared.name in text for text in texts)
    assert not any(PASSWORD in text or "127.0.0.1" in text for text in texts)
    assert PASSWORD not in caplog.text


def test_what_cannot_be_shared_is_refused_before_anything_is_stored(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match=r"--inherit, .* give --stages"):
        begin(tmp_path / "a", altered(settings, inherit=True))
    with pytest.raises(SettingsError, match=r"stages: .* give --storage, too"):
        SearchSettings.of(stages=tmp_path)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StudyError, match=r"psycopg, .* pip install 'sparrow-search\[postgres\]'"):
        begin(tmp_path / "a", settings)
    assert not (tmp_path / "a" / "study.json").exists()


def begin(folder: Path, settings: StudySettings) -> None:
    with open_study(folder, settings):
        pass


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


@pytest.mark.slow
def test_a_second_driver_joins_a_search_and_shares_its_trainings(
    address: str, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    options = {"storage": address, "driver": "local", "device": "cpu", "papers": False}
    shared = {"stages": tmp_path / "stages", "trials": 2}
    first = search(space, shapes_folder, tmp_path / "a", **options, **shared)
    second = search(space, shapes_folder, tmp_path / "b", **options, **shared)
    assert [m.figures for m in first.members] == [m.figures for m in second.members]
    assert not (tmp_path / "b" / "trials").exists(), "the first has run all of them"
    assert (tmp_path / "b" / "stages").samefile(tmp_path / "a" / "stages")
    resume(tmp_path / "b", trials=3, storage=address)
    assert [record.state for record in read_records(tmp_path / "b")] == ["finished"] * 3
    assert len(read_records(tmp_path / "a")) == 2
    resume(tmp_path / "a", storage=address)
    own, others = read_records(tmp_path / "a"), read_records(tmp_path / "b")
    assert list(map(anywhere, own)) == list(map(anywhere, others))
    for folder, records in ((tmp_path / "a", own), (tmp_path / "b", others)):
        assert all((folder / record.folder / "result.json").exists() for record in records)


def drive(name: str, folder: Path, address: str) -> None:
    """Run trials that take no time; one driver freezes in its third."""
    heart.BEAT, shared_journal.NEWS = 0.5, 0.1
    settings = settings_of(address, "three", trials=TRIALS)

    def note(what: str, number: int) -> None:
        with open(folder / f"{name}.notes", "a") as file:
            file.write(json.dumps([what, number]) + "\n")

    begun = 0
    with open_study(folder / name, settings) as study:
        while True:
            record = study.propose()
            if record is None and not study.waits:
                return
            if record is None:
                time.sleep(0.05)
                continue
            begun += 1
            note("begun", record.number)
            if name == "frozen" and begun == 3:
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.1)
            study.end(record.number, result(record, ap_small=SCORES[name]))
            if study.record(record.number).figure("ap_small") == SCORES[name]:
                note("ended", record.number)
            else:
                note("lost", record.number)


def noted(folder: Path, name: str, what: str) -> list[int]:
    file = folder / f"{name}.notes"
    lines = file.read_text().splitlines() if file.exists() else []
    return [number for kind, number in map(json.loads, lines) if kind == what]


def until(reached: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_of_three_drivers_one_is_killed_and_one_frozen_and_nothing_is_lost(
    address: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    drivers = {name: FORK.Process(target=drive, args=(name, tmp_path, address)) for name in SCORES}
    for driver in drivers.values():
        driver.start()
    until(lambda: len(noted(tmp_path, "killed", "begun")) > 3)
    time.sleep(random.uniform(0.0, 0.3))
    os.kill(drivers["killed"].pid, signal.SIGKILL)
    until(lambda: len(noted(tmp_path, "frozen", "begun")) == 3)
    frozen = noted(tmp_path, "frozen", "begun")[-1]
    # It comes back when another has ended its trial.
    until(lambda: frozen in noted(tmp_path, "steady", "ended"))
    os.kill(drivers["frozen"].pid, signal.SIGCONT)
    for name in ("steady", "frozen"):
        drivers[name].join(300)
        assert drivers[name].exitcode == 0

    records = {record.number: record for record in read_records(tmp_path / "steady")}
    assert sorted(records) == list(range(TRIALS))
    assert {record.state for record in records.values()} == {"finished"}
    assert len({record.as_drawn.digest() for record in records.values()}) == TRIALS
    ended = {name: noted(tmp_path, name, "ended") for name in SCORES}
    for name, numbers in ended.items():
        assert all(records[n].figure("ap_small") == SCORES[name] for n in numbers), name
    everyone = [number for numbers in ended.values() for number in numbers]
    assert len(everyone) == len(set(everyone)), "a trial was ended twice"
    assert noted(tmp_path, "frozen", "lost") == [frozen]

    trials = told(address, "three")
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    complete = [t.user_attrs["number"] for t in trials if t.state == TrialState.COMPLETE]
    assert sorted(complete) == list(range(TRIALS))
    # The killed one is resumed, and its report has all trials.
    assert len(read_records(tmp_path / "killed")) < TRIALS
    with open_study(tmp_path / "killed", storage=address) as study:
        assert study.propose() is None
    assert [anywhere(r) for r in read_records(tmp_path / "killed")] == list(
        map(anywhere, records.values())
    )
