"""A trial that several workers train: Ray Train starts them, and the first one runs the trial.

Tune's process of such a trial takes nothing itself. It asks Ray Train for the whole group at once,
in a placement group of its own, so that no two trials can hold a part each and wait for the rest;
and it passes the reports of the workers on to Tune. Notice that one of these processes has to end
reaches all workers, which write a checkpoint first.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import ray
from ray import train, tune
from ray.train.v2._internal.execution.callback import WorkerCallback
from ray.util.queue import Empty, Queue

from detectors.group import Group
from detectors.regularly import regularly
from detectors.training.notice import NOTICE
from launch.drivers.attempt import failure_in
from launch.drivers.leftovers import MARK, OWN_GROUP
from launch.drivers.ray_losses import PREEMPTED, heed_sigterm, terminate_everywhere
from launch.drivers.ray_worker import ENDINGS, Given, ending_in_words, run_reporting
from launch.trial.run import pick_device
from launch.trial.workers import dismiss, follow

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

LOOK = 1.0
"""Seconds after which Tune's process checks whether the group still exists."""

SILENCE = 7 * 24 * 3600
"""Seconds that workers wait for the first one, which may score and measure for long. A lost worker
is noticed by its closed connection, or by Ray, which ends the others; and a trial that hangs by the
limits of a search."""

WORKER, NOTICED = "worker", "noticed"
"""Reports that are not for Tune: a worker's address and number of process; that the workers end as
one of them was given notice."""

NEXT_TO_NOTHING = {"memory": 1.0}
"""What Tune reserves for such a trial: Tune takes no empty reservation."""


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """The workers of each trial.

    Attributes:
        count: how many train it together.
        each: what each of them reserves, by Ray's names of resources.
    """

    count: int
    each: Mapping[str, float]

    @property
    def on_gpus(self) -> bool:
        return self.each.get("GPU", 0) > 0


class _Stopped(Exception):
    """Ends the group of a trial that has ended with another ending than a result."""


class _EndsWithCheckpoint(WorkerCallback):
    """On SIGTERM, a worker ends when the training of its group has written a checkpoint."""

    def after_init_train_context(self) -> None:
        heed_sigterm()


@dataclass(frozen=True)
class _Reports:
    """Sends reports to Tune's process."""

    queue: Queue

    def __call__(self, report: Mapping[str, Any]) -> None:
        self.queue.put(dict(report))


def run_group(config: dict[str, Any], workers: Workers, **given: Any) -> None:
    """In Tune's process of a trial: start its workers, and pass on what they report.

    If a worker is lost or given notice, this raises, and Tune starts the trial again, which resumes
    from its checkpoint.

    Args:
        given: see `Given`.
    """
    # On any node, without a part of what Tune reserved for this process.
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": "DEFAULT"})
    passed = {"given": ray.put(Given(config=config, **given)), "queue": queue}
    with _own_folder() as folder, ThreadPoolExecutor(1, "group") as pool:
        group = pool.submit(_trainer(workers, passed, folder).fit)
        last = _relayed(queue, group)
    if NOTICED in last:
        raise RuntimeError(f"a worker of the trial has received {PREEMPTED}")
    if not last:
        group.result()
        raise RuntimeError("the workers of the trial ended without a result")


def _relayed(queue: Queue, group: Future[Any]) -> dict[str, Any]:
    """Pass on what workers report until their last report, which is returned; it is empty if they
    have ended without one.

    Notice to this process is passed on to them, by a thread of its own: Tune, which may have no
    time for a report any more, must not delay it.
    """
    places: dict[str, list[int]] = {}

    def pass_notice_on() -> None:
        if not NOTICE.given:
            return
        try:
            terminate_everywhere(dict(places))
        except Exception as error:  # the cluster may be what has gone
            logger.warning(f"the workers of a trial were not given notice: {error}")

    with NOTICE.heeding(), regularly(pass_notice_on, LOOK, "notice"):
        while True:
            running = not group.done()
            try:
                report = queue.get(timeout=LOOK)
            except Empty:
                if running:
                    continue
                return {}
            if WORKER in report:
                address, pid = report[WORKER]
                places.setdefault(address, []).append(pid)
            elif NOTICED in report:
                return report
            else:
                tune.report(report)
                if not ENDINGS.isdisjoint(report):
                    return report


def _own_folder() -> TemporaryDirectory[str]:
    """A folder on this node for Ray Train's own files, of which nobody else needs any. In a Ray of
    our own, it is removed with that."""
    return TemporaryDirectory(prefix=f"{OWN_GROUP}{os.getpid()}-", dir=os.environ.get(MARK))


def _trainer(workers: Workers, passed: dict[str, Any], folder: str) -> TorchTrainer:
    """What starts the workers and waits for them.

    Args:
        folder: for Ray Train's own files.
    """
    # Only here, as it takes a second and only groups need it.
    from ray.train.torch import TorchConfig, TorchTrainer

    # Ray's types of these are those of two versions, of which the trainer takes one.
    scaling: Any = train.ScalingConfig(
        num_workers=workers.count,
        use_gpu=workers.on_gpus,
        resources_per_worker=dict(workers.each),
    )
    failures: Any = train.FailureConfig(max_failures=0)  # Tune starts a trial again
    in_workers: Any = [_EndsWithCheckpoint()]
    run: Any = train.RunConfig(
        storage_path=folder, name="group", failure_config=failures, callbacks=in_workers
    )
    backend = "cpu:gloo,cuda:nccl" if workers.on_gpus else "gloo"
    return TorchTrainer(
        _work,
        train_loop_config=passed,
        torch_config=TorchConfig(backend=backend, timeout_s=SILENCE),
        scaling_config=scaling,
        run_config=run,
    )


def _work(config: dict[str, Any]) -> None:
    """In each worker."""
    given: Given = ray.get(config["given"])
    given.prepare()
    reports = _Reports(config["queue"])
    reports({WORKER: (ray.util.get_node_ip_address(), os.getpid())})
    with NOTICE.held():
        try:
            _take_part(given, reports)
        except KeyboardInterrupt:
            reports({NOTICED: True})
            # The end of the first one to leave would be that of all, wherever they are.
            Group.current().any(True)
            raise _Stopped(NOTICED) from None


def _take_part(given: Given, reports: _Reports) -> None:
    if not Group.current().leads:
        _follow(given, reports)
        return
    ending = run_reporting(given, reports)
    reports(ending)
    if "finished" not in ending:
        raise _Stopped(ending)  # the others may wait within a step
    dismiss()


def _follow(given: Given, reports: _Reports) -> None:
    """Train along with the first worker; an error of this one alone ends the trial, too."""
    start = time.monotonic()
    try:
        follow(given.data.here(), pick_device(given.device))
    except Exception as error:
        seconds = time.monotonic() - start
        reports(ending_in_words(failure_in(error, given.data, given.folder, seconds)))
        raise
