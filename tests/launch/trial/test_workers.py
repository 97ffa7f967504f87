"""Trials that several processes train, without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed

from detectors.detector import Detector
from detectors.group import Group
from launch.trial.data import TrialData, TrialError
from launch.trial.result import read_result
from launch.trial.run import run_trial
from launch.trial.workers import dismiss, follow, share_of
from searchspace import Space, TrialConfig
from tests.processes import process


def run(config: TrialConfig, data: TrialData, folder: Path, rank: int, size: int) -> None:
    """The trial in the first process of a group, and what the others do for it."""
    torch.set_num_threads(1)
    meet = f"file://{folder / 'meet'}"
    distributed.init_process_group("gloo", meet, rank=rank, world_size=size)
    if rank:
        follow(data, torch.device("cpu"))
        return
    run_trial(config, data, folder / "trial", device="cpu", stages=folder / "stages")
    dismiss()


def run_by(size: int, config: TrialConfig, data: TrialData, folder: Path) -> None:
    workers = [process(run, config, data, folder, rank, size) for rank in range(size)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0


@pytest.mark.slow
def test_two_processes_train_prune_and_distil_a_trial(
    space: Space, shapes: TrialData, tmp_path: Path
) -> None:
    config = space.baseline()
    slim = {"kind": "slimming", "finetune_epochs": 1, "distillation": {"kind": "channel_wise"}}
    config = TrialConfig.model_validate(config.model_dump() | {"compress": {"pruning": slim}})
    run_by(2, config, shapes, tmp_path)
    result = read_result(tmp_path / "trial" / "result.json")
    assert result.workers == 2
    assert result.removed_share > 0
    assert Detector.load(tmp_path / "trial" / "compact")
    # A later trial takes the same artefacts, however many workers it has.
    again = run_trial(
        config, shapes, tmp_path / "again", device="cpu", stages=tmp_path / "stages",
        on_epoch=lambda *_: pytest.fail("it trains again"),
    )  # fmt: skip
    assert again.workers == 1
    assert again.trained == result.trained
    assert again.figure("ap_small") == result.figure("ap_small")


def test_memory_is_that_of_the_largest_share(
    tiny: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert share_of(tiny) == tiny
    monkeypatch.setattr(Group, "current", classmethod(lambda cls: cls(0, 3)))
    assert share_of(tiny).train.batch_size == 3  # of eight


def test_a_batch_with_fewer_images_than_workers_is_refused_before_training(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Group, "current", classmethod(lambda cls: cls(0, 9)))
    with pytest.raises(TrialError, match="a batch of 8 cannot be shared by 9 workers"):
        run_trial(tiny, shapes, tmp_path / "trial", device="cpu")
    assert not (tmp_path / "trial").exists()
