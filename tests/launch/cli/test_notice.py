"""Commands that are terminated while they train keep what was trained, to the step."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.training.run import Run as Training
from searchspace import TrialConfig
from tests.launch.conftest import Run


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps of trainings, of which the third one terminates the process."""
    taken: list[int] = []
    step = Training.step

    def counted(training: Training, *batch: object) -> object:
        taken.append(training.scheduler.last_epoch)
        if len(taken) == 3:
            signal.raise_signal(signal.SIGTERM)
        return step(training, *batch)

    monkeypatch.setattr(Training, "step", counted)
    return taken


Commands = Callable[[Path, Path], tuple[tuple[object, ...], tuple[object, ...], str]]


def trial(file: Path, out: Path) -> tuple[tuple[object, ...], tuple[object, ...], str]:
    command = ("trial", file, "--out", out, "--device", "cpu")
    return command, command, "The same command goes on."


def train(file: Path, out: Path) -> tuple[tuple[object, ...], tuple[object, ...], str]:
    begun = ("train", file, "--out", out, "--device", "cpu", "--epochs", 3, "--to", "none")
    resumed = ("train", "--resume", out, "--device", "cpu")
    return begun, resumed, f"Go on with: sparrow train --resume {out}"


@pytest.mark.parametrize("commands", [trial, train])
def test_a_terminated_training_goes_on_from_its_step(
    commands: Commands,
    steps: list[int],
    run: Run,
    tiny: TrialConfig,
    shapes_folder: Path,
    tmp_path: Path,
) -> None:
    file, out = tmp_path / "trial.json", tmp_path / "out"
    file.write_text(tiny.changed(train=tiny.train.changed(epochs=3)).model_dump_json())
    begun, resumed, words = commands(file, out)
    status, text = run(*begun, "--data", shapes_folder)
    assert status == 130
    assert text.splitlines()[-1] == f"Interrupted. {words}"
    assert steps == [0, 1, 2]
    data = () if "--resume" in resumed else ("--data", shapes_folder)
    status, text = run(*resumed, *data)
    assert status == 0, text
    assert steps == list(range(6))  # two an epoch


def test_a_terminated_search_without_ray_goes_on_from_its_step(
    steps: list[int], run: Run, space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    out, local = tmp_path / "study", ("--driver", "local")
    space = ("--space", space_file, "--trials", 1, "--no-papers", "--device", "cpu")
    status, _ = run("search", "--data", shapes_folder, *space, *local, "--out", out)
    assert status == 130
    status, text = run("search", "--resume", out, *local)
    assert status == 0, text
    assert steps == [0, 1, 0, 1]  # of one epoch, and of the one after it
