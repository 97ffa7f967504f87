"""Trials that several workers train: what they reserve, and searches with them on a real Ray."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from detectors.detector import Detector
from launch.drivers import ray_tune
from launch.drivers.ray_group import NEXT_TO_NOTHING
from launch.drivers.ray_tune import RayTune
from launch.searches import search
from launch.study.search_settings import SearchSettings
from launch.study.study import read_records
from launch.trial.errors import SettingsError
from searchspace import Space
from tests.launch.drivers.test_ray_tune import (
    endings,
    finished,
    ray_workers,
    reported_epochs,
    start,
    wait_for,
)

PATIENCE = 400
"""Seconds after which a search counts as hung."""


def test_the_workers_of_a_trial_share_out_what_it_reserves() -> None:
    driver = RayTune(
        8, 4.0, workers_per_trial=4, memory_per_trial=16, resources_per_trial=("a100=2",)
    )
    assert driver.count == 4
    assert dict(driver.group.each) == {"CPU": 2, "GPU": 1, "memory": 4e9, "a100": 0.5}
    assert driver.cores() == 2
    (bundle,) = driver.bundle_of()({}).bundles
    assert bundle == NEXT_TO_NOTHING  # Ray Train reserves the group


def test_a_trial_has_a_worker_for_each_of_its_gpus_and_one_without() -> None:
    assert RayTune(gpus_per_trial=4).count == 4
    assert dict(RayTune(gpus_per_trial=4).group.each) == {"CPU": 1, "GPU": 1}
    assert [RayTune(gpus_per_trial=share).count for share in (0, 0.5, 1)] == [1, 1, 1]
    two = RayTune(workers_per_trial=2).on("cpu")
    assert dict(two.group.each) == {"CPU": 1}
    alone = RayTune(2, memory_per_trial=4)
    assert dict(alone.group.each) == {"CPU": 2, "memory": 4e9}
    assert alone.bundle_of()({}).bundles == [{"CPU": 2, "memory": 4e9}]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cpus_per_trial": 3, "workers_per_trial": 2}, "--cpus-per-trial 3: .* multiple of 2"),
        ({"gpus_per_trial": 1, "workers_per_trial": 2}, "--gpus-per-trial 1: .* multiple of 2"),
        ({"trials_per_gpu": "2", "workers_per_trial": 2}, "--trials-per-gpu 2: each of the 2"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RayTune(**options)


@pytest.mark.parametrize("amount", ["a100", "=1", "a100=0", "a100=few", "a100=inf", "CPU=2"])
def test_amounts_of_resources_are_checked(amount: str) -> None:
    with pytest.raises(SettingsError, match="resources_per_trial"):
        SearchSettings.of(resources_per_trial=(amount,))


def test_whole_groups_fit_into_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 4.0, "memory": 8e9}, {"CPU": 3.0, "memory": 2e9}]
    monkeypatch.setattr(ray_tune, "_nodes", lambda: nodes)
    assert RayTune(1).workers() == 7
    assert RayTune(workers_per_trial=2).workers() == 3  # one of them on both nodes
    assert RayTune(workers_per_trial=2, max_concurrent=2).workers() == 2
    assert RayTune(memory_per_trial=2).workers() == 5
    with pytest.raises(ValueError, match=r"has 8 workers with 1 CPUs each, .* has room for 7"):
        RayTune(workers_per_trial=8).check(())
    with pytest.raises(ValueError, match="needs 1 of the resource 'a100', and no node"):
        RayTune(resources_per_trial=("a100=1",)).check(())
    with pytest.raises(ValueError, match=r"a worker of a trial needs 5 CPUs, .* largest has 4"):
        RayTune(10, workers_per_trial=2).check(())


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_two_workers_train_each_trial_of_a_search(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    front = search(
        space, shapes_folder, study, trials=2, device="cpu", papers=False, workers_per_trial=2
    )
    records = read_records(study)
    assert [r.state for r in records] == ["finished"] * 2, [r.reason for r in records]
    assert [r.result.workers for r in records] == [2, 2]
    assert front.members
    assert all(Detector.load(member.detector) for member in front.members)
    assert reported_epochs(study) == {"dense": 2, "compact": 2}
    assert not list((study / "ray" / "answers").iterdir())


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_trial_that_loses_a_worker_goes_on_from_its_checkpoint(
    space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "long.toml", tmp_path / "study"
    file.write_text(space_file.read_text().replace("epochs = 1\nbatch", "epochs = 8\nbatch"))
    driver = start(
        "--data", shapes_folder, "--space", file, "--trials", 1, "--out", out,
        "--device", "cpu", "--workers-per-trial", 2,
    )  # fmt: skip
    wait_for(lambda: any(out.glob("stages/*/scratch/checkpoint")), driver)
    os.kill(ray_workers(driver.pid, b"ray::RayTrainWorker")[-1], signal.SIGKILL)
    assert driver.wait(PATIENCE) == 0
    (record,) = finished(out)
    assert record.result.workers == 2
    assert endings(out) == {0: 1}
    assert reported_epochs(out)["dense"] < 16  # it did not begin again
