"""One attempt at a trial: what is left of one that fails, and storage that goes away meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.training.run import Run as Training
from launch.drivers.attempt import attempt
from launch.study.failures import (
    BROKEN_PLACES,
    Failure,
)
from launch.trial.data import TrialData
from launch.trial.result import TrialResult
from searchspace import TrialConfig
from tests.clock import Clock
from tests.launch.made_up import raising


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


def test_data_that_vanish_are_named_and_blame_no_trial(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    image = shapes.train.images[0].path
    error = FileNotFoundError(errno.ENOENT, "No such file", str(image))
    failure = attempt(tiny, shapes, tmp_path, "cpu", run=raising(error))
    assert failure.reason == f"{image} is missing: restore the data"
    assert failure.blame == "surroundings"


@pytest.mark.parametrize("gone", ["the folder", "the server"])
def test_a_trial_waits_for_its_storage_and_goes_on_from_its_last_checkpoint(
    gone: str,
    tiny: TrialConfig,
    shapes: TrialData,
    tmp_path: Path,
    clock: Clock,
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

    clock.then = lambda count: away.rename(study) if count == 2 and away.exists() else None
    monkeypatch.setattr(Training, "save", saved)
    config = tiny.changed(train=tiny.train.changed(epochs=3))
    note = epochs.append
    outcome = attempt(config, shapes, study / "t", "cpu", lambda _, epoch, __: note(epoch))
    assert isinstance(outcome, TrialResult), outcome
    assert epochs == [1, 2, 3]
    assert calls == [1, 2, 2, 3]  # the epoch whose checkpoint was not written is repeated
    assert "trying again in" in caplog.text


@pytest.mark.usefixtures("clock")
def test_storage_that_stays_away_is_no_fault_of_the_trial(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    error = OSError(errno.ENOTCONN, "not connected", str(tmp_path / "t/dense.json"))
    failure = attempt(tiny, shapes, tmp_path / "t", "cpu", run=raising(error))
    assert failure.reason == f"{tmp_path}/t/dense.json: {BROKEN_PLACES[errno.ENOTCONN]}"
    assert failure.blame == "surroundings"
