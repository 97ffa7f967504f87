"""How trials fail: who is to blame, what is left to look at, and when a search gives up."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState
from safetensors.torch import save_file

from detectors.training.run import Run as Training
from detectors.training.train import TrainingFailed
from launch.drivers.attempt import attempt
from launch.records import Failed, Finished, TrialRecord
from launch.searches import resume, search
from launch.study.failures import (
    BROKEN_PLACES,
    Failure,
    SearchStopped,
    broken_place,
    common_cause,
    failure_of,
    os_error_in_words,
)
from launch.study.journal import Journal
from launch.study.opening import open_study, read_records
from launch.study.settings import StudySettings
from launch.study.study import Study
from launch.trial.data import TrialData, TrialError
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from searchspace import Space, TrialConfig
from tests.launch.conftest import Run
from tests.launch.made_up import result, settings_for, told


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=6)


def raising(error: Exception) -> Callable[..., None]:
    def run(*args: object, **kwargs: object) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "blame", "reason"),
    [
        (TrialError("does not fit"), "design", "does not fit"),
        (TrainingFailed("loss is nan"), "design", "loss is nan"),
        (MemoryError("no more"), "design", "out of memory: no more"),
        (torch.OutOfMemoryError("CUDA out of memory."), "design", "out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "design",
            "out of memory",
        ),
        (KeyError("x"), "passing", "KeyError: 'x'"),
        (FileNotFoundError(errno.ENOENT, "gone", "a.png"), "passing", "FileNotFoundError"),
        (OSError(errno.ENOSPC, "full", "w"), "surroundings", "w: there is no space left"),
        (PermissionError(errno.EACCES, "no", "w"), "surroundings", "w: permission denied"),
        (OSError(errno.EROFS, "no", "w"), "surroundings", "w: the file system is read-only"),
        (RuntimeError("I/O error: x (os error 122)"), "surroundings", "quota"),
    ],
)
def test_who_is_to_blame(error: Exception, blame: str, reason: str, tmp_path: Path) -> None:
    failure = failure_of(error, tmp_path, 2.0)
    assert failure.blame == blame
    assert reason in failure.reason
    assert "\n" not in failure.reason
    assert failure.seconds == 2.0


def test_a_wrapped_error_of_the_disk_is_found(tmp_path: Path) -> None:
    error = RuntimeError("the run failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "journal.jsonl")
    assert broken_place(error, tmp_path) == f"journal.jsonl: {BROKEN_PLACES[errno.ENOSPC]}"


@pytest.mark.parametrize(
    "write",
    [
        lambda file: save_file({"a": torch.zeros(100_000)}, file),
        lambda file: torch.save(torch.zeros(100_000), file),
        lambda file: torch.save(torch.zeros(100_000), file.open("wb")),
        lambda file: file.write_bytes(bytes(400_000)),
    ],
    ids=["safetensors", "torch", "torch into a file", "python"],
)
def test_a_full_disk_is_recognised_whoever_writes(
    write: Callable[[Path], None], full_disk: Path
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each library has its own)
        write(full_disk / "weights")
    failure = failure_of(caught.value, full_disk, 0.0)
    assert failure.blame == "surroundings"
    assert "no space left" in failure.reason


def test_an_error_is_one_sentence_with_its_path() -> None:
    assert os_error_in_words(NotADirectoryError(errno.ENOTDIR, "x", "a/b")) == (
        "a/b: a file is in the way, where a folder should be"
    )
    assert os_error_in_words(FileNotFoundError(errno.ENOENT, "No such file", b"a")) == (
        "a: No such file"
    )


def test_a_failed_attempt_leaves_its_traceback_and_its_log(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    def train_then_fail(*args: object, on_epoch: Callable[..., None], **kwargs: object) -> None:
        on_epoch("dense", 1, {"loss": 1.5})
        raise KeyError("lost")

    outcome = attempt(tiny, shapes, tmp_path / "t", "cpu", run=train_then_fail)
    assert isinstance(outcome, Failure)
    text = (tmp_path / "t" / "traceback.txt").read_text()
    assert text.startswith("Traceback")
    assert "train_then_fail" in text
    assert "KeyError: 'lost'" in text
    assert "dense, epoch 1: loss 1.5" in (tmp_path / "t" / "log.txt").read_text()


def test_warnings_of_a_trial_are_logged_and_still_printed(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def warn(*args: object, **kwargs: object) -> str:
        import logging

        logging.getLogger("detectors.anything").warning("look here")
        return "done"

    attempt(tiny, shapes, tmp_path, "cpu", run=warn)
    assert "look here" in (tmp_path / "log.txt").read_text()
    assert "look here" in caplog.text


def test_a_traceback_is_removed_when_the_trial_succeeds(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    attempt(tiny, shapes, tmp_path, "cpu", run=raising(KeyError("x")))
    assert (tmp_path / "traceback.txt").exists()
    attempt(tiny, shapes, tmp_path, "cpu", run=lambda *a, **k: "done")
    assert not (tmp_path / "traceback.txt").exists()


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


@pytest.mark.parametrize("damage", ["", "{", '{"config": 1}'])
def test_a_cut_result_is_written_again(
    damage: str, tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    first = run_trial(tiny, shapes, tmp_path / "t", device="cpu")
    (tmp_path / "t" / "result.json").write_text(damage)
    again = run_trial(tiny, shapes, tmp_path / "t", device="cpu")
    assert again.model_copy(update={"seconds": 0}) == first.model_copy(update={"seconds": 0})


def test_a_damaged_cause_is_named(tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text('{"detector": ')
    with pytest.raises(TrialError, match=r"trial\.json: .*the JSON is cut off"):
        run_trial(tiny, shapes, tmp_path, device="cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "gpu", "meta", "cpu:x", "mps", ""])
def test_a_device_that_is_not_there_is_one_sentence(
    device: str, run: Run, shapes_folder: Path, tmp_path: Path, tiny: TrialConfig
) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    file = tmp_path / "trial.json"
    file.write_text(tiny.model_dump_json())
    commands = [
        ("trial", file, "--data", shapes_folder, "--out", tmp_path / "t"),
        ("search", "--data", shapes_folder, "--driver", "local", "--out", tmp_path / "s"),
        ("search", "--data", shapes_folder, "--out", tmp_path / "s"),
        ("fps", file),
    ]
    for command in commands:
        status, text = run(*command, "--device", device)
        assert status in (1, 2)
        assert "device" in text
        assert "Traceback" not in text
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("place", ["a file", "below a file", "too long a name", "read-only"])
def test_places_that_cannot_be_written_are_one_sentence(
    place: str, run: Run, shapes_folder: Path, tmp_path: Path, tiny: TrialConfig, space_file: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    out = {
        "a file": file,
        "below a file": file / "r",
        "too long a name": tmp_path / ("x" * 300),
        "read-only": Path("/proc/r"),
    }[place]
    config = tmp_path / "trial.json"
    config.write_text(tiny.model_dump_json())
    local = ("--driver", "local", "--device", "cpu", "--space", space_file)
    commands = [
        ("trial", config, "--data", shapes_folder, "--device", "cpu", "--out", out),
        ("search", "--data", shapes_folder, *local, "--out", out),
        ("data", "shapes", out),
        # A picture, which may replace a file but no folder.
        ("data", "preview", "--data", shapes_folder, "--out", tmp_path if out == file else out),
    ]
    for command in commands:
        status, text = run(*command)
        assert status == 2, command  # as it is an argument that is wrong
        assert "Traceback" not in text
        # Of a folder that cannot be made, the system may name a part.
        assert str(command[-1])[:6] in text
        assert len(text.strip().splitlines()) <= 3, text
    assert file.read_text() == "in the way"


def test_data_that_vanish_are_named_and_blame_no_trial(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    image = shapes.train.images[0].path
    error = FileNotFoundError(errno.ENOENT, "No such file", str(image))
    failure = attempt(tiny, shapes, tmp_path, "cpu", run=raising(error))
    assert failure.reason == f"{image} is missing: restore the data"
    assert failure.blame == "surroundings"


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.drivers.attempt.PAUSES", (0.01,) * 5)


@pytest.mark.parametrize("gone", ["the folder", "the server"])
def test_a_trial_waits_for_its_storage_and_goes_on_from_its_last_checkpoint(
    gone: str,
    tiny: TrialConfig,
    shapes: TrialData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    study, away, epochs, calls = tmp_path / "study", tmp_path / "away", [], []
    save = Training.save

    def saved(training: Training, file: Path, number: int) -> None:
        calls.append(number)
        if len(calls) == 2 and gone == "the folder":
            study.rename(away)
        if len(calls) == 2 and gone == "the server":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(file))
        save(training, file, number)

    def pauses() -> Iterator[float]:
        yield from (0.01, 0.01)
        if away.exists():
            away.rename(study)
        yield 0.01

    monkeypatch.setattr("launch.drivers.attempt.PAUSES", pauses())
    monkeypatch.setattr(Training, "save", saved)
    config = tiny.changed(train=tiny.train.changed(epochs=3))
    note = epochs.append
    outcome = attempt(config, shapes, study / "t", "cpu", lambda _, epoch, __: note(epoch))
    assert isinstance(outcome, TrialResult), outcome
    assert epochs == [1, 2, 3]
    assert calls == [1, 2, 2, 3]  # the epoch whose checkpoint was not written is repeated
    assert "trying again in" in caplog.text


@pytest.mark.usefixtures("short_pauses")
def test_storage_that_stays_away_is_no_fault_of_the_trial(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    error = OSError(errno.ENOTCONN, "not connected", str(tmp_path / "t/dense.json"))
    failure = attempt(tiny, shapes, tmp_path / "t", "cpu", run=raising(error))
    assert failure.reason == f"{tmp_path}/t/dense.json: {BROKEN_PLACES[errno.ENOTCONN]}"
    assert failure.blame == "surroundings"


@pytest.mark.parametrize(
    "option", [("--address", "auto"), ("--cpus-per-trial", 2), ("--gpus-per-trial", 1)]
)
def test_the_local_driver_rejects_options_of_ray(
    option: tuple[str, object], run: Run, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s"
    status, text = run(
        "search", "--data", shapes_folder, "--driver", "local", "--out", out, *option
    )
    assert status == 2
    assert "only the driver ray has this option" in text
    assert not out.exists()


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
