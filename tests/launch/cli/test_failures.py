"""Errors of commands: a sentence if the user can fix it; for a bug, the file with its traceback."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import launch.cli.data
from detectors.data.readers import DataSource
from detectors.detector import Detector
from detectors.training.train import TrainingFailed
from launch.files import LOG, TRACEBACK
from launch.trial.data import TrialData
from searchspace import CompressConfig, Space, TrialConfig
from searchspace.compression import Slimming
from searchspace.errors import InputError, SparrowError
from tests.launch.conftest import Run
from tests.launch.made_up import raising

Given = dict[str, object]


@pytest.fixture
def given(
    shapes_folder: Path, space_file: Path, tiny: TrialConfig, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Given:  # fmt: skip
    """The inputs of the commands below, by name."""
    monkeypatch.setenv("SPARROW_DEBUG", "0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    trial = tmp_path / "trial.json"
    compress = CompressConfig(pruning=Slimming(finetune_epochs=1))
    trial.write_text(tiny.changed(compress=compress).model_dump_json())
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.json").touch()
    Detector(tiny.detector).save(tmp_path / "saved")
    return {
        "DATA": shapes_folder,
        "FILE": shapes_folder / "annotations/instances_val.json",
        "TRIAL": trial,
        "SPACE": space_file,
        "STUDY": study,
        "SAVED": tmp_path / "saved",
        "OUT": tmp_path / "out",
        "NEW": tmp_path / "new.json",
    }


COMMANDS = {
    "search --data DATA --space SPACE --driver local --out OUT": (TrialData, "read"),
    "trial TRIAL --data DATA --out OUT": (TrialData, "read"),
    "ladder TRIAL --ratios 0.3 --data DATA --out OUT": (TrialData, "read"),
    "describe SAVED": (Detector, "load"),
    "fps SAVED": (Detector, "load"),
    "export SAVED --to onnx": (Detector, "load"),
    "predict SAVED --data DATA --to coco --out NEW": (Detector, "load"),
    "space SPACE": (Space, "searched"),
    "report STUDY": (Path, "read_bytes"),
    "data check --images DATA --annotations FILE": (launch.cli.data, "read_split"),
    "data shapes OUT": (np.random, "SeedSequence"),
    "data subset --annotations FILE --classes circle --out NEW": (Path, "read_bytes"),
    "data preview --data DATA --out OUT": (DataSource, "from_folder"),
}
"""Each command, and something that it calls."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bug_in_a_command_is_reported_in_two_lines_and_kept_in_a_file(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setattr(*COMMANDS[command], raising(KeyError("no such thing")))
    code, text = run(*(given.get(word, word) for word in command.split()))
    assert code == 1
    assert "error: this is a bug in Sparrow: KeyError: 'no such thing'" in text
    assert "Traceback (most" not in text
    file = Path(re.search(r"The traceback is in (\S+);", text)[1])
    assert tmp_path in file.parents
    assert file.name == TRACEBACK
    kept = file.read_text()
    assert "Traceback (most recent call last)" in kept
    assert kept.endswith("raise error\nKeyError: 'no such thing'\n")


@pytest.mark.parametrize("command", ["search", "trial", "ladder"])
def test_the_traceback_of_a_bug_is_in_the_commands_folder(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    line = next(line for line in COMMANDS if line.startswith(command))
    monkeypatch.setattr(*COMMANDS[line], raising(ZeroDivisionError("no trials")))
    run(*(given.get(word, word) for word in line.split()))
    assert (tmp_path / "out" / TRACEBACK).exists()


def test_debug_shows_a_traceback_at_once(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Space, "searched", raising(KeyError("no such thing")))
    code, text = run("--debug", "space", given["SPACE"])
    assert code == 1
    assert "raise error\nKeyError: 'no such thing'" in text
    monkeypatch.setenv("SPARROW_DEBUG", "1")
    assert "raise error\nKeyError: 'no such thing'" in run("space", given["SPACE"])[1]
    monkeypatch.setattr(Space, "searched", raising(InputError("no such field")))
    assert "InputError: no such field\n\nerror: no such field\n" in run("space", given["SPACE"])[1]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "", "/data/x"), "/data/x: there is no space left on the device"),
        (PermissionError(errno.EACCES, "", "/data/x"), "/data/x: permission denied"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (TimeoutError(), "TimeoutError"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "there is no space"),
        (torch.OutOfMemoryError("CUDA out of memory."), "out of memory: CUDA out of memory."),
        (InputError("train.epochs is 0"), "train.epochs is 0"),
        (TrainingFailed("the loss is nan"), "the loss is nan"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    monkeypatch.setattr(Detector, "load", raising(error))
    code, text = run("describe", given["SAVED"])
    assert code == 1
    assert text.startswith(f"error: {sentence}")
    assert text.count("\n") == 1
    assert not list(given["OUT"].parent.glob(f"**/{TRACEBACK}"))


@pytest.mark.parametrize("command", ["trial", pytest.param("ladder", marks=pytest.mark.slow)])
def test_a_trial_that_fails_leaves_its_traceback_and_its_log(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    line = next(line for line in COMMANDS if line.startswith(command))
    arguments = [given.get(word, word) for word in line.split()]
    out = Path(given["OUT"])
    with monkeypatch.context() as patch:
        patch.setattr("launch.trial.stages.Stages.evaluate", raising(TrainingFailed("nan")))
        code, text = run(*arguments)
    assert code == 1
    assert text.endswith("error: nan\n")
    assert (
        f"raise error\n{TrainingFailed.__module__}.TrainingFailed: nan"
        in (out / TRACEBACK).read_text()
    )
    assert "dense, epoch 1: " in (out / LOG).read_text()
    assert run(*arguments)[0] == 0
    assert not (out / TRACEBACK).exists()


def test_input_that_is_refused_leaves_nothing(run: Run, given: Given) -> None:
    trial = Path(given["TRIAL"])
    tree = json.loads(trial.read_text())
    tree["detector"]["num_classes"] = 7
    trial.write_text(json.dumps(tree))
    code, text = run("trial", trial, "--data", given["DATA"], "--out", given["OUT"])
    assert code == 1
    assert "detector.num_classes is 7" in text
    assert not Path(given["OUT"]).exists()


def test_every_error_for_users_has_one_base() -> None:
    from launch.drivers import ray_address, ray_start  # loads Ray

    assert issubclass(ray_address.RayAddressError, SparrowError)
    assert issubclass(ray_start.RayStartError, SparrowError)

    def below(cls: type) -> set[type]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    names = {cls.__name__ for cls in below(SparrowError)}
    assert names >= {
        "CsvError", "DataError", "KnownError",
        "RuntimeUnavailable", "SearchStopped", "SettingsError", "SpaceError", "StudyError",
        "TrainingFailed", "TrialError", "Unreadable", "WeightsUnavailable",
    }  # fmt: skip
