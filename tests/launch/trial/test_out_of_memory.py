"""A trial whose training runs out of memory is tried once more, with its batches in more parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detectors.training.run import Run
from launch.drivers.attempt import attempt
from launch.study.failures import Failure
from launch.trial.data import TrialData
from launch.trial.memory import Fitted, read_fitted, smaller
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from searchspace import TrialConfig


@pytest.fixture
def enough(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Exception], list[int]]:
    """Lets steps have enough memory from a number of parts on; gives the parts of each step."""
    step = Run.step

    def set_parts(parts: int, error: Exception) -> list[int]:
        taken: list[int] = []

        def limited(run: Run, *batch: object) -> object:
            taken.append(run.parts)
            if run.parts < parts:
                raise error
            return step(run, *batch)

        monkeypatch.setattr(Run, "step", limited)
        return taken

    return set_parts


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        pytest.param(
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            marks=pytest.mark.slow,
        ),
        pytest.param(MemoryError(), marks=pytest.mark.slow),
    ],
    ids=["gpu", "cpu", "host"],
)
def test_a_training_without_memory_is_tried_again_in_two_parts(
    error: Exception,
    enough: Callable[..., list[int]],
    tiny: TrialConfig,
    shapes: TrialData,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken = enough(2, error)
    result = run_trial(tiny, shapes, tmp_path / "t", device="cpu")
    assert taken == [1, 2, 2]  # two steps an epoch
    assert str(result.fitted) == "a batch in 2 parts, as memory ran out with half as many"
    assert "out of memory with a batch in one part: " in caplog.text
    # Its training is that of a trial that asks for two parts.
    config = tiny.changed(train=tiny.train.changed(accumulate=2))
    asked = run_trial(
        config, shapes, tmp_path / "asked", device="cpu", stages=tmp_path / "t/stages"
    )
    assert asked.trained == result.trained
    assert len(taken) == 3
    # And so it is when it is resumed, without a first try in one part.
    (tmp_path / "t" / "result.json").unlink()
    assert run_trial(tiny, shapes, tmp_path / "t", device="cpu").fitted == result.fitted
    assert len(taken) == 3


def test_what_has_too_little_memory_for_half_batches_fails_for_its_design(
    enough: Callable[..., list[int]], tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    taken = enough(8, torch.OutOfMemoryError("CUDA out of memory."))
    outcome = attempt(tiny, shapes, tmp_path / "t", "cpu")
    assert isinstance(outcome, Failure)
    assert outcome.reason == "out of memory with a batch in 2 parts: CUDA out of memory."
    assert outcome.blame == "design"
    assert taken == [1, 2]
    # It is not halved again when the user has it tried again.
    assert isinstance(attempt(tiny, shapes, tmp_path / "t", "cpu"), Failure)
    assert taken == [1, 2, 2]


def test_a_trial_goes_on_from_halved_batches_that_have_enough(
    enough: Callable[..., list[int]], tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    enough(8, torch.OutOfMemoryError("CUDA out of memory."))
    assert isinstance(attempt(tiny, shapes, tmp_path / "t", "cpu"), Failure)
    enough(2, torch.OutOfMemoryError("CUDA out of memory."))
    assert isinstance(attempt(tiny, shapes, tmp_path / "t", "cpu"), TrialResult)
    assert read_fitted(tmp_path / "t") == Fitted(accumulate=2, short=True)


def test_batches_are_halved_once_and_keep_two_images_in_a_part(tiny: TrialConfig) -> None:
    auto = tiny.changed(train=tiny.train.changed(batch_size="auto"))
    known = Fitted(accumulate=2, needed=5, memory=9, device="x")
    assert smaller(tiny, None) == Fitted(accumulate=2, short=True)
    assert smaller(auto, known) == Fitted(accumulate=4, short=True)
    assert smaller(tiny, smaller(tiny, None)) is None
    assert smaller(tiny.changed(train=tiny.train.changed(batch_size=3)), None) is None
