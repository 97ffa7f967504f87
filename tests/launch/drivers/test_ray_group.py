"""Trials that several workers train: what they reserve, and searches with them on a real Ray."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from detectors.detector import Detector
from detectors.group import Group, WorkerLost
from detectors.training.notice import NOTICE
from launch.drivers import ray_group, ray_tune
from launch.drivers.ray_group import NEXT_TO_NOTHING, NOTICED, WORKER
from launch.drivers.ray_tune import RayTune
from launch.drivers.reservation import Workers
from launch.searches import search
from launch.study.opening import read_records
from launch.study.search_settings import SearchSettings
from launch.trial.errors import SettingsError
from searchspace import Space
from tests.launch.drivers.started import (
    PATIENCE,
    endings,
    finished,
    ray_workers,
    reported_epochs,
    start,
    wait_for,
)


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
        ({"gpus_per_trial": 4, "workers_per_trial": 2}, "--gpus-per-trial 4: each of the 2 .* one"),
        ({"trials_per_gpu": "2", "workers_per_trial": 2}, "--trials-per-gpu 2: each of the 2"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RayTune(**options)


@pytest.mark.parametrize(
    "amount", ["a100", "=1", "a100=0", "a100=few", "a100=inf", "CPU=2", "CPU =2"]
)
def test_amounts_of_resources_are_checked(amount: str) -> None:
    with pytest.raises(SettingsError, match="resources_per_trial"):
        SearchSettings.of(resources_per_trial=(amount,))


def test_a_resource_is_given_once() -> None:
    with pytest.raises(SettingsError, match="resources_per_trial a100: there are 2 amounts of it"):
        SearchSettings.of(resources_per_trial=("a100=1", "disk=4", "a100=2"))


def test_whole_groups_fit_into_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 4.0, "memory": 8e9}, {"CPU": 3.0, "memory": 2e9}]
    monkeypatch.setattr(ray_tune, "nodes_of_cluster", lambda: nodes)
    assert RayTune(1).workers() == 7
    assert RayTune(workers_per_trial=2).workers() == 3  # one of them on both nodes
    assert RayTune(workers_per_trial=2, max_concurrent=2).workers() == 2
    assert RayTune(memory_per_trial=2).workers() == 5
    whole = r"has 8 workers with 1 CPU each, 8 CPUs in all, .* there is room for 7"
    with pytest.raises(ValueError, match=whole):
        RayTune(workers_per_trial=8).check(())
    with pytest.raises(ValueError, match="needs 1 of the resource 'a100', and no node"):
        RayTune(resources_per_trial=("a100=1",)).check(())
    whole = r"a worker of a trial needs 5 CPUs, as 2 of them share 10 CPUs, .* largest has 4"
    with pytest.raises(ValueError, match=whole):
        RayTune(10, workers_per_trial=2).check(())
    with pytest.raises(ValueError, match="needs 1 of the resource 'a100', as 2 of them share 2, "):
        RayTune(workers_per_trial=2, resources_per_trial=("a100=2",)).check(())


class Line(queue.SimpleQueue[dict[str, Any]]):
    """In place of Ray's queue."""

    def __init__(self, **options: object) -> None:
        super().__init__()


@pytest.fixture
def relayed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """What Tune hears of a trial whose workers report something and then end as they do."""

    def relay(
        reports: Sequence[dict[str, Any]], end: Callable[[], None], line: Callable = Line
    ) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []

        class Trainer:
            def __init__(self, workers: Workers, told: dict[str, Any], folder: str) -> None:
                self.queue = told["queue"]

            def fit(self) -> None:
                for report in reports:
                    self.queue.put(report)
                end()

        monkeypatch.setattr(ray_group, "_trainer", Trainer)
        monkeypatch.setattr(ray_group, "Queue", line)
        monkeypatch.setattr(ray_group, "Empty", queue.Empty)
        monkeypatch.setattr(ray_group, "LOOK", 0.01)
        monkeypatch.setattr(ray_group.ray, "put", lambda given: given)
        monkeypatch.setattr(ray_group.tune, "report", heard.append)
        given = dict.fromkeys(
            ("answers", "data", "teachers", "device", "meter", "weights", "plugins")
        )
        ray_group.run_group({}, Workers(2, {"CPU": 1}), **given)
        return heard

    return relay


def lost() -> None:
    raise RuntimeError("a worker was lost")


EPOCH, FAILED = {"stage": "dense", "epochs": 1}, {"failed": "too large", "blame": "design"}


def test_reports_of_workers_reach_tune_until_the_last_one(relayed: Callable) -> None:
    assert relayed([EPOCH, {"finished": "result.json"}], lambda: None)[0] == EPOCH
    # The group of a trial that failed, or was ended by the study, is torn down.
    assert relayed([EPOCH, FAILED, FAILED], lost) == [EPOCH, FAILED]
    assert relayed([{"ended": True}], lost) == [{"ended": True}]


def test_a_trial_whose_workers_end_without_a_last_report_is_started_again(
    relayed: Callable,
) -> None:
    with pytest.raises(RuntimeError, match="a worker was lost"):
        relayed([EPOCH], lost)
    with pytest.raises(RuntimeError, match="ended without a result"):
        relayed([EPOCH], lambda: None)


@pytest.fixture
def in_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Any]]:
    """What one of two workers does: its reports, and `dismissed` if it lets the other one go."""

    def work(rank: int, done: Callable[..., Any]) -> list[Any]:
        found: list[Any] = []
        data = SimpleNamespace(here=lambda: None)
        task = SimpleNamespace(
            prepare=lambda: None, run=done, data=data, device="cpu", folder=tmp_path
        )
        monkeypatch.setattr(ray_group.ray, "get", lambda task: task)
        monkeypatch.setattr(Group, "current", classmethod(lambda cls: cls(rank, 2)))
        monkeypatch.setattr(Group, "any", lambda group, said: found.append("all have ended"))
        monkeypatch.setattr(ray_group.ray.util, "get_node_ip_address", lambda: "10.0.0.1")
        monkeypatch.setattr(ray_group, "follow", done)
        monkeypatch.setattr(ray_group, "dismiss", lambda: found.append("dismissed"))
        with contextlib.suppress(Exception):
            ray_group._work({"task": task, "queue": SimpleNamespace(put=found.append)})
            found.append("returned")
        assert found.pop(0) == {WORKER: ("10.0.0.1", os.getpid())}
        return found

    return work


def test_the_first_worker_lets_the_others_go_after_a_result_only(in_worker: Callable) -> None:
    finished, ended = {"finished": "result.json"}, {"ended": True}
    assert in_worker(0, lambda *_: finished) == [finished, "dismissed", "returned"]
    assert in_worker(0, lambda *_: ended) == [ended]


def test_another_worker_reports_its_own_failure_but_not_that_a_worker_was_lost(
    in_worker: Callable,
) -> None:
    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def left_alone(*_: object) -> None:
        raise WorkerLost("nobody answers")

    (report,) = in_worker(1, too_large)
    assert report["failed"] == "out of memory: CUDA out of memory"
    assert report["blame"] == "design"
    with pytest.raises(WorkerLost):
        in_worker(1, left_alone)
    assert in_worker(1, lambda *_: None) == ["returned"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_says_that_it_ends_for_notice_and_waits_for_the_others(
    rank: int, in_worker: Callable
) -> None:
    def noticed(*_: object) -> None:
        raise KeyboardInterrupt

    assert in_worker(rank, noticed) == [{NOTICED: True}, "all have ended"]


def test_notice_reaches_the_workers_and_starts_the_trial_again(
    relayed: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, list[int]]] = []

    def terminate(places: dict[str, list[int]]) -> None:
        told.append(places)
        line.put({NOTICED: True})

    def notice() -> None:
        while not told:
            NOTICE.give()
            time.sleep(0.01)

    line = Line()
    monkeypatch.setattr(ray_group, "terminate_everywhere", terminate)
    workers = [{WORKER: ("10.0.0.1", 7)}, {WORKER: ("10.0.0.2", 8)}, {WORKER: ("10.0.0.1", 9)}]
    with pytest.raises(RuntimeError, match="SIGTERM"):  # by which Tune's losses are told apart
        relayed(workers, notice, lambda **_: line)
    assert told[0] == {"10.0.0.1": [7, 9], "10.0.0.2": [8]}


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
