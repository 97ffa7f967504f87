"""What trials that share a GPU reserve of it; without a GPU, up to the amounts given to Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detectors.detector import Detector
from detectors.training.memory import training_memory
from launch import search
from launch.drivers import ray_tune
from launch.drivers.gpu_share import share_for, share_of_each
from launch.drivers.ray_tune import RayTune
from launch.study.search_settings import SearchSettings
from launch.trial.errors import SettingsError
from launch.trial.memory import MARGIN
from searchspace import Space, load_space
from searchspace.distillation import ChannelWise

GIGABYTE = 10**9


def test_shares_of_a_gpu_are_at_most_a_gpu() -> None:
    for trials in range(1, 101):
        assert 0.98 < trials * share_of_each(trials) <= 1


@pytest.mark.slow
def test_a_trial_reserves_what_its_training_needs() -> None:
    config = load_space("quick").baseline()
    needed = MARGIN * training_memory(config.detector, config.train, torch.device("cpu"))
    for memory in (GIGABYTE, 4 * GIGABYTE, 80 * GIGABYTE):
        share = share_for(config, memory)
        assert share == 1 or share * memory > needed
    assert share_for(config, GIGABYTE) == 1
    assert share_for(config, 4 * GIGABYTE) < 0.3


def test_a_teacher_takes_memory_too() -> None:
    config = load_space("quick").baseline()
    train = config.train.changed(distillation=ChannelWise(teacher="runs/teacher"))
    teacher = Detector(config.detector.changed(width=1.0))
    taught = share_for(config.changed(train=train), 8 * GIGABYTE, lambda name: teacher)
    assert share_for(config, 8 * GIGABYTE) < taught < 1


def test_a_number_of_trials_shares_a_gpu() -> None:
    driver = RayTune(1, trials_per_gpu="4")
    assert driver.bundle_of()({}).bundles == [{"CPU": 1.0, "GPU": 0.25}]
    assert driver.group.on_node({"CPU": 16.0, "GPU": 2.0}) == 8
    assert driver.group.on_node({"CPU": 16.0}) == 0


@pytest.mark.slow
def test_with_auto_each_trial_has_a_share_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_tune, "gpu_memory", lambda: 4 * GIGABYTE)
    small = load_space("quick").baseline()
    large = small.changed(train=small.train.changed(batch_size=256))
    bundle = RayTune(2, trials_per_gpu="auto").bundle_of()
    shares = [
        bundle({"config": config.model_dump_json(), "detectors": {}}).bundles[0]["GPU"]
        for config in (small, large)
    ]
    assert shares == [share_for(small, 4 * GIGABYTE), share_for(large, 4 * GIGABYTE)]
    assert shares[0] < shares[1]


@pytest.mark.parametrize("count", ["auto", "4"])
def test_on_a_cpu_there_is_no_gpu_to_share(count: str) -> None:
    with pytest.raises(ValueError, match=f"--trials-per-gpu {count}: the trials run on the CPU"):
        RayTune(trials_per_gpu=count).on("cpu")
    with pytest.raises(ValueError, match=r"there is --gpus-per-trial 0.5 already"):
        RayTune(1, 0.5, trials_per_gpu=count)


@pytest.mark.parametrize("count", ["0", "half", 0.5, 1000])
def test_a_number_of_trials_that_is_none_is_refused(count: object) -> None:
    with pytest.raises(SettingsError, match="trials_per_gpu"):
        SearchSettings.of(trials_per_gpu=count)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("count", ["auto", "2"])
def test_two_trials_share_a_gpu(
    count: str, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU is usable here")
    front = search(
        space, shapes_folder, tmp_path / "study", trials=2, device="cuda", trials_per_gpu=count
    )
    assert front.members
