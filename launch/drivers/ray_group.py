"""A trial that several workers train: Ray Train starts them, and the first one runs the trial.

Tune's process of such a trial takes nothing itself. It asks Ray Train for the whole group at once,
in a placement group of its own, so that no two trials can hold a part each and wait for the rest;
and it passes the reports of the workers on to Tune. A long training, of which Tune knows nothing,
has such a group as well; see `launch.drivers.ray_training`. Notice that one of these processes has
to end reaches all workers, which write a checkpoint first.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

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
from launch.drivers.ray_worker import ENDINGS, Given, Tell, ending_in_words
from launch.drivers.reservation import Workers
from launch.trial.data import TrialData
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
"""Reports that are not passed on: a worker's address and number of process; that the workers end as
one of them was given notice."""

NEXT_TO_NOTHING = {"memory": 1.0}
"""What Tune reserves for such a trial: Tune takes no empty reservation."""


logger = logging.getLogger(__name__)


class _Stopped(Exception):
    """Ends the group of a trial that has ended with another ending than a result."""


class _EndsWithCheckpoint(WorkerCallback):
    """On SIGTERM, a worker ends when the training of its group has written a checkpoint."""

    def after_init_train_context(self) -> None:
        heed_sigterm()


class Task(Protocol):
    """What the workers of a group do together.

    Attributes:
        data: what they train on.
        device: on which each of them runs; None for a GPU if there is one.
    """

    @property
    def data(self) -> TrialData: ...

    @property
    def device(self) -> str | None: ...

    @property
    def folder(self) -> Path:
        """Where it leaves its files."""
        ...

    def prepare(self) -> None:
        """In each worker, first: make its process ready."""

    def run(self, tell: Tell) -> dict[str, Any]:
        """In the first worker: do it, while the others follow.

        Returns:
            The last report, one of `ENDINGS`.
        """
        ...


@dataclass(frozen=True)
class RayGroup:
    """A group that is to be started, and the queue of what its workers report.

    Attributes:
        task: in Ray's object store.
    """

    workers: Workers
    task: ray.ObjectRef
    queue: Queue

    @classmethod
    def of(cls, workers: Workers, task: Task) -> RayGroup:
        # On any node, without a part of what Tune reserved for this process.
        queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": "DEFAULT"})
        return cls(workers, ray.put(task), queue)

    def fit(self) -> None:
        """Start the workers, and wait for them; raises if one of them is lost, or ends the task."""
        passed = {"task": self.task, "queue": self.queue}
        with _own_folder() as folder:
            _trainer(self.workers, passed, folder).fit()

    def pass_on(self, fitting: Future[Any], tell: Tell) -> None:
        """Pass on what the workers report, until the last report.

        Args:
            fitting: `fit`, in another thread or process.

        Raises:
            Exception: the group ended without a last report, as a worker was lost or given notice.
        """
        last = self._relayed(fitting, tell)
        if NOTICED in last:
            raise RuntimeError(f"a worker has received {PREEMPTED}")
        if not last:
            fitting.result()
            raise RuntimeError("the workers ended without a result")

    def _relayed(self, fitting: Future[Any], tell: Tell) -> dict[str, Any]:
        """Pass on what workers report until their last report, which is returned; it is empty if
        they have ended without one.

        Notice to this process is passed on to them, by a thread of its own: who is told, and may
        have no time for a report any more, must not delay it.
        """
        places: dict[str, list[int]] = {}

        def pass_notice_on() -> None:
            if not NOTICE.given:
                return
            try:
                terminate_everywhere(dict(places))
            except Exception as error:  # the cluster may be what has gone
                logger.warning(f"the workers were not given notice: {error}")

        with NOTICE.heeding(), regularly(pass_notice_on, LOOK, "notice"):
            while True:
                running = not fitting.done()
                try:
                    report = self.queue.get(timeout=LOOK)
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
                    tell(report)
                    if not ENDINGS.isdisjoint(report):
                        return report


def run_group(config: dict[str, Any], workers: Workers, **given: Any) -> None:
    """In Tune's process of a trial: start its workers, and pass on what they report.

    If a worker is lost or given notice, this raises, and Tune starts the trial again, which resumes
    from its checkpoint.

    Args:
        given: see `Given`.
    """
    group = RayGroup.of(workers, Given(config=config, **given))
    with ThreadPoolExecutor(1, "group") as pool:
        group.pass_on(pool.submit(group.fit), tune.report)


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
    task: Task = ray.get(config["task"])
    task.prepare()

    def tell(report: Mapping[str, Any]) -> None:
        config["queue"].put(dict(report))

    tell({WORKER: (ray.util.get_node_ip_address(), os.getpid())})
    with NOTICE.held():
        try:
            _take_part(task, tell)
        except KeyboardInterrupt:
            tell({NOTICED: True})
            # The end of the first one to leave would be that of all, wherever they are.
            Group.current().any(True)
            raise _Stopped(NOTICED) from None


def _take_part(task: Task, tell: Tell) -> None:
    if not Group.current().leads:
        _follow(task, tell)
        return
    ending = task.run(tell)
    tell(ending)
    if "finished" not in ending:
        raise _Stopped(ending)  # the others may wait within a step
    dismiss()


def _follow(task: Task, tell: Tell) -> None:
    """Train along with the first worker; an error of this one alone ends the task, too."""
    start = time.monotonic()
    try:
        follow(task.data.here(), pick_device(task.device))
    except Exception as error:
        seconds = time.monotonic() - start
        tell(ending_in_words(failure_in(error, task.data, task.folder, seconds)))
        raise
