"""A long training by several workers, in a group of Ray Train without a search around it."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from compress import Plan
from detectors.training.notice import NOTICE
from launch.drivers.attempt import attempt
from launch.drivers.ray_group import RayGroup
from launch.drivers.ray_searcher import RETRIES
from launch.drivers.ray_start import connected, logged_to, nodes_of_cluster
from launch.drivers.ray_worker import Tell, ending_in_words, prepare_worker
from launch.drivers.reservation import Reservation
from launch.files import RAY_LOG, RESULT, TRACEBACK, TRAINING
from launch.study.failures import Failure, failure_of
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.result import TrialResult, read_result
from launch.trial.run import pick_device
from searchspace.errors import InputError, SparrowError, first_line
from searchspace.trial import TrialConfig


class WorkersFailed(SparrowError, RuntimeError):
    """The workers of a training ended without a result; the message says why."""


@dataclass(frozen=True)
class LongTask:
    """A long training, as its workers are given it.

    Attributes:
        folder: of the training, which all nodes see under this path.
        device: on which each worker trains; None for a GPU if there is one.
        speeds: folder of cached speeds; see `SpeedStore`.
        weights, plan: see `run_trial`.
        plugins: to be loaded first.
    """

    config: TrialConfig
    data: TrialData
    folder: Path
    device: str | None
    speeds: Path
    weights: Path | None
    plan: Plan | None
    plugins: tuple[str, ...]

    def prepare(self) -> None:
        prepare_worker(self.plugins)

    def run(self, tell: Tell) -> dict[str, Any]:
        """Train, and leave the result in the folder."""
        if not (self.folder / TRAINING).exists():
            return ending_in_words(
                Failure(
                    f"{self.folder}: it is not there on {platform.node()}, which trains: give "
                    "--out in a folder that all nodes of the cluster share",
                    "surroundings",
                )
            )
        try:
            data = self.data.here()
        except (InputError, OSError) as error:
            return ending_in_words(failure_of(error, self.folder, 0.0))
        outcome = attempt(
            self.config,
            data,
            self.folder,
            self.device,
            meter=LocalMeter(data, pick_device(self.device), self.speeds),
            weights=self.weights,
            plan=self.plan,
        )
        return ending_in_words(outcome)


def train_together(
    task: LongTask, reserved: Reservation, address: str | None, say: Callable[[str], None]
) -> TrialResult:
    """Train by several workers, or go on; the first one also scores and measures.

    A training that loses a worker goes on from its last epoch, a few times.

    Args:
        address: of the cluster to join; None starts Ray here.
        say: called with each loss of a worker.

    Raises:
        InputError: the cluster has no room for the workers.
        RayStartError: Ray is not available.
        WorkersFailed: the training failed, or lost its workers too often.
    """
    with connected(address), logged_to(task.folder / RAY_LOG):
        reserved.check(nodes_of_cluster())
        ending = _ending(task, reserved, say)
    if "failed" not in ending:
        return read_result(task.folder / RESULT)
    traceback = task.folder / TRACEBACK
    where = f"; the traceback is in {traceback}" if traceback.exists() else ""
    raise WorkersFailed(f"{ending['failed']}{where}")


def _ending(task: LongTask, reserved: Reservation, say: Callable[[str], None]) -> dict[str, Any]:
    """The last report of the workers, of which some may be lost on the way."""
    reports: list[dict[str, Any]] = []
    for left in reversed(range(RETRIES + 1)):
        group = RayGroup.of(reserved.workers, task)
        try:
            with _fitting(group) as fitting:
                group.pass_on(fitting, lambda report: reports.append(dict(report)))
        except Exception as error:  # Ray's, and those of a worker's process, share no other base
            if NOTICE.given:  # to this process, which has passed it on to the workers
                raise KeyboardInterrupt from None
            why = first_line(error)
            if not left:
                raise WorkersFailed(
                    f"a worker was lost {RETRIES + 1} times: {why}; see {task.folder / RAY_LOG}"
                ) from None
            say(f"A worker was lost ({why}); the training goes on from its last epoch")
            continue
        break
    return reports[-1]


@contextlib.contextmanager
def _fitting(group: RayGroup) -> Iterator[Future[Any]]:
    """The group at work, in a process on this node; with the context, that ends, and so do the
    workers."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    running = _fit.options(scheduling_strategy=here).remote(group)
    try:
        yield running.future()
    finally:
        ray.cancel(running, force=True)


@ray.remote(num_cpus=0, max_retries=0)
def _fit(group: RayGroup) -> None:
    group.fit()
