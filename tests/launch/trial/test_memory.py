"""Batch size "auto": as few parts of a batch as fit into the memory of a trial."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from launch.trial import memory
from launch.trial.data import TrialData, TrialError
from launch.trial.memory import Fitted, confirmed, fewest_parts, fitted, memory_of, read_fitted
from launch.trial.meter import LocalMeter
from launch.trial.stages import Stages
from launch.trial.store import Store
from launch.trial.teachers import load_teacher
from searchspace import TrialConfig, load_space

CPU = torch.device("cpu")
BASELINE = load_space("quick").baseline()
AUTO = BASELINE.changed(train=BASELINE.train.changed(batch_size="auto"))


def test_the_fewest_parts_that_fit_are_taken() -> None:
    for memory_, parts in ((100, 1), (60, 2), (25, 4)):
        assert fewest_parts(AUTO, memory_, lambda n: 100 / n) == parts
    with pytest.raises(TrialError, match=r"a batch in 4 parts needs about .* or let fewer trials"):
        fewest_parts(AUTO, 20, lambda n: 100 / n)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_parts_that_run_out_of_memory_are_halved(error: type[Exception]) -> None:
    tried = []

    def attempt(parts: int) -> None:
        tried.append(parts)
        if parts < enough:
            raise error

    enough = 4
    assert confirmed(AUTO, 1, 10**9, attempt) == 4
    assert tried == [1, 2, 4]
    enough = 8  # more than four pairs of images
    with pytest.raises(TrialError, match="a batch in 4 parts needs more memory"):
        confirmed(AUTO, 1, 10**9, attempt)


def test_a_trial_keeps_the_number_that_it_began_with(
    shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stages(config: TrialConfig, kept: Fitted | None = None) -> Stages:
        meter = LocalMeter(shapes, CPU, tmp_path)
        return Stages(config, shapes, Store(tmp_path), CPU, meter, load_teacher, kept=kept)

    monkeypatch.setattr(memory, "needs_of", lambda *trial: lambda parts: 100 / parts)
    monkeypatch.setattr(memory, "memory_of", lambda device: 60)
    begun = stages(AUTO)
    assert begun.fitted is not None
    assert (begun.fitted.accumulate, begun.fitted.needed) == (2, 50)
    assert begun.recipe.batch_size == BASELINE.train.batch_size
    # Its training is the one of a trial that names this number.
    named = BASELINE.changed(train=begun.recipe)
    assert stages(named).fitted is None
    assert begun._dense()[1] == stages(named)._dense()[1]
    (tmp_path / "fitted.json").write_text(begun.fitted.model_dump_json())
    monkeypatch.setattr(memory, "memory_of", lambda device: 10**12)
    assert stages(AUTO).recipe.parts == 1
    assert stages(AUTO, read_fitted(tmp_path)).recipe == begun.recipe
    # The store knows it, too.
    monkeypatch.setattr(memory, "needs_of", None)
    assert fitted(AUTO, Store(tmp_path), CPU, load_teacher).accumulate == 1


def test_a_cpu_has_memory_for_its_threads() -> None:
    assert 10**8 < memory_of(CPU) < 10**14
