"""How a search takes failing trials: when it gives up, what it says, and what is tried again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from launch.drivers.attempt import attempt
from launch.records import Failed, Finished, TrialRecord
from launch.searches import resume, search
from launch.study.failures import (
    Failure,
    SearchStopped,
    common_cause,
)
from launch.study.journal import Journal
from launch.study.opening import open_study, read_records
from launch.study.settings import StudySettings
from launch.study.study import Study
from launch.trial.run import run_trial
from searchspace import Space
from tests.launch.conftest import Run
from tests.launch.made_up import raising, result, settings_for, told


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=6)


def ended(number: int, template: TrialRecord, reason: str | None, lasting: bool) -> TrialRecord:
    failed = reason and Failed(reason=reason, lasting=lasting)
    ending = failed or Finished(result=result(template))
    return template.model_copy(update={"number": number}).ended(ending, seconds=1)


@pytest.mark.parametrize(
    ("endings", "stops"),
    [
        ("AA", False),
        ("AAA", True),
        ("ABA", False),
        ("BAAA", True),
        ("aaa", True),
        ("FAAA", True),
        ("Faaa", False),  # a sampler may try three designs that are too large
        ("AAF", False),
        ("AFAA", False),
    ],
)
def test_three_failures_for_one_cause_stop_a_search(
    endings: str, stops: bool, settings: StudySettings, tmp_path: Path
) -> None:
    """A and B are passing causes, a is a design's, F finishes."""
    with open_study(tmp_path, settings) as study:
        template = study.propose()
    records = [
        ended(n, template, None if c == "F" else f"{c.lower()} in trial {n}", c == "a")
        for n, c in enumerate(endings)
    ]
    assert (common_cause(records) is not None) == stops


def fail_all(study: Study, failure: Failure) -> int:
    failed = 0
    while (record := study.propose()) is not None:
        study.end(record.number, failure)
        failed += 1
    return failed


def test_a_study_gives_up_after_three_like_failures(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        assert fail_all(study, Failure("KeyError: 'x'", "passing")) == 3
        assert study.stopped_by == "KeyError: 'x'"
        assert not study.waits


def test_the_surroundings_fail_no_trial(settings: StudySettings, tmp_path: Path) -> None:
    with open_study(tmp_path, settings) as study:
        assert fail_all(study, Failure("the disk is full", "surroundings")) == 1
        assert study.stopped_by == "the disk is full"
    [record] = read_records(tmp_path)
    assert record.state == "running"
    with open_study(tmp_path) as study:
        again = study.propose()
        assert again.number == record.number
        study.end(again.number, result(again))
    assert [t.state for t in told(tmp_path)] == [TrialState.COMPLETE]


@pytest.mark.parametrize(("lasting", "retried"), [(False, [0]), (True, [0, 1])])
def test_failed_trials_are_tried_again(
    settings: StudySettings, tmp_path: Path, lasting: bool, retried: list[int]
) -> None:
    with open_study(tmp_path, settings) as study:
        for blame in ("passing", "design"):
            study.end(study.propose().number, Failure(f"for {blame}", blame))
        record = study.propose()
        study.end(record.number, result(record))
    with open_study(tmp_path) as study:
        assert study.try_again(lasting) == len(retried)
        again = [study.propose() for _ in retried]
        assert [record.number for record in again] == retried
        for record in again:
            study.end(record.number, result(record, ap_small=0.5))
        assert study.propose().number == 3
    records = read_records(tmp_path)
    assert [r.retries for r in records[:3]] == [1, int(lasting), 0]
    assert [r.state for r in records[:3]] == ["finished", records[1].state, "finished"]
    complete = [t for t in told(tmp_path) if t.state == TrialState.COMPLETE]
    assert sorted(t.user_attrs["number"] for t in complete) == sorted([*retried, 2])
    with open_study(tmp_path):
        assert len([t for t in told(tmp_path) if t.state == TrialState.COMPLETE]) == len(complete)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """Make every trial of a local search fail, or run again."""

    def set_error(error: Exception | None) -> None:
        run = raising(error) if error else run_trial
        monkeypatch.setattr(
            "launch.drivers.local.attempt", lambda *a, **k: attempt(*a, **k, run=run)
        )

    return set_error


@pytest.fixture
def new_search(space_file: Path, shapes_folder: Path, tmp_path: Path) -> tuple[object, ...]:
    """A local search into `study`, as it is typed."""
    options = ("--space", space_file, "--driver", "local", "--device", "cpu")
    return ("search", "--data", shapes_folder, *options, "--out", tmp_path / "study")


@pytest.mark.slow
def test_a_search_in_which_all_fails_ends_with_the_cause(
    run: Run,
    new_search: tuple[object, ...],
    tmp_path: Path,
    failing: Callable[[Exception | None], None],
) -> None:
    failing(KeyError("a bug"))
    out = tmp_path / "study"
    status, text = run(*new_search, "--trials", 5)
    assert status == 1
    assert "the search stopped: KeyError: 'a bug'" in text
    assert f"sparrow search --resume {out}" in text
    assert "--retry-failed" not in text
    records = read_records(out)
    assert [r.state for r in records] == ["failed"] * 3
    traceback = out / records[0].folder / "traceback.txt"
    assert f"see {traceback}" in text
    page = (out / "report.html").read_text()
    assert f'href="{records[0].folder}/traceback.txt"' in page
    failing(None)
    resume(out, driver="local", trials=3)
    assert [(r.state, r.retries) for r in read_records(out)] == [("finished", 1)] * 3


@pytest.mark.slow
def test_two_failures_and_no_front_are_not_a_success(
    run: Run,
    new_search: tuple[object, ...],
    tmp_path: Path,
    failing: Callable[[Exception | None], None],
) -> None:
    failing(MemoryError("too large"))
    out = tmp_path / "study"
    status, text = run(*new_search, "--trials", 2)
    assert status == 1
    assert "No trial gives a front: 2 failed, trial 0: out of memory: too large" in text
    status, text = run("search", "--resume", out, "--driver", "local")
    assert status == 1
    assert [r.retries for r in read_records(out)] == [0, 0]
    failing(None)
    status, text = run("search", "--resume", out, "--driver", "local", "--retry-failed")
    assert status == 0
    assert [(r.state, r.retries) for r in read_records(out)] == [("finished", 1)] * 2


def test_retry_failed_goes_with_resume(run: Run, shapes_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    status, text = run("search", "--data", shapes_folder, "--retry-failed", "--out", out)
    assert status == 2
    assert "--resume" in text
    assert not out.exists()


def test_a_full_disk_stops_the_search_and_blames_no_trial(
    space: Space,
    shapes_folder: Path,
    full_disk: Path,
    failing: Callable[[Exception | None], None],
) -> None:
    with pytest.raises(SearchStopped, match=r"no space left.*--resume"):
        search(space, shapes_folder, full_disk / "study", trials=3, driver="local", device="cpu")
    (full_disk / "ballast").unlink()
    states = {r.state for r in read_records(full_disk / "study")}
    assert states == {"running"}


def test_a_journal_that_cannot_be_written_stops_the_search(
    space: Space,
    shapes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append = Journal.append

    def full(journal: Journal, record: TrialRecord) -> None:
        if record.number == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "journal.jsonl")
        append(journal, record)

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(SearchStopped, match=r"journal.jsonl: there is no space left.*1 trial fin"):
        search(space, shapes_folder, tmp_path / "s", trials=3, driver="local", device="cpu")
    assert (tmp_path / "s" / "report.html").exists()


def test_a_report_without_a_front_says_why(
    run: Run, settings: StudySettings, tmp_path: Path
) -> None:
    out = tmp_path / "s"
    with open_study(out, settings) as study:
        study.end(study.propose().number, Failure("out of memory", "design"))
    status, text = run("report", out)
    assert status == 1
    assert "No trial gives a front: 1 failed, trial 0: out of memory" in text


@pytest.mark.slow
def test_a_journal_that_is_gone_is_restored_when_more_trials_are_asked_for(
    run: Run, new_search: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "study"
    assert run(*new_search, "--trials", 1)[0] == 0
    (out / "journal.jsonl").unlink()
    status, text = run("search", "--resume", out, "--trials", 1, "--driver", "local")
    assert status == 0, text
    assert [r.state for r in read_records(out)] == ["finished"]
