"""Faults in the processes of trials: a plugin that a test writes, and what it noted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.records import TrialRecord
from launch.searches import search
from launch.study.opening import read_records
from searchspace import Space
from searchspace.digests import digest_of
from tests.launch.drivers.started import PATIENCE

MORE = (1, 2)
"""Steps of the epoch in which an unpruned detector is trained on."""

PLUGIN = """
import errno, os, signal, time
from pathlib import Path

import ray
import torch

from detectors.group import Group
from detectors.training import run
from detectors.training.notice import NOTICE
from detectors.training.run import Run
from launch.drivers import kernel_kills, ray_losses

HERE, STEP, TIMES, WORKER = Path(__file__).parent, {step}, {times}, {worker}
step = Run.step


def fault(run):
    {fault}


def give_notice():
    os.kill(os.getpid(), signal.SIGTERM)
    while not NOTICE.given:
        time.sleep(0.01)


def noted(run, *batch):
    found = step(run, *batch)
    if Group.current().leads:
        with open(HERE / "steps", "a") as file:
            print(os.getpid(), run.scheduler.last_epoch, run.parts, time.time(), file=file)
    done = len(list(HERE.glob("fault-*")))
    due = run.scheduler.last_epoch >= STEP * (done + 1) and done < TIMES
    if due and Group.current().rank == WORKER:
        (HERE / f"fault-{{done}}").touch()
        fault(run)
    return found


# Not in the process of the test.
if ray.is_initialized() and ray._private.worker.global_worker.mode == ray.WORKER_MODE:
    Run.step = noted
    if {kept}:
        run.KEPT_EVERY, run.KEPT_SHARE = 0.0, 1e9
    # A step is waited for, however long it takes on a machine that computes other things.
    ray_losses.GRACE = {patience}
    VMSTAT = kernel_kills.VMSTAT = HERE / "vmstat"
    if not VMSTAT.exists():
        VMSTAT.write_text("oom_kill 0")
"""


@dataclass(frozen=True)
class Step:
    """A training step that a process has taken.

    Attributes:
        number: in its training, from 1.
        parts: of its batch.
        at: seconds since the epoch.
    """

    pid: int
    number: int
    parts: int
    at: float


@dataclass(frozen=True)
class Faults:
    """A plugin in a folder of its own, by which a fault occurs in processes of trials.

    Attributes:
        fault: Python that is run with `run`, the training, after a step.
        step: the fault occurs after each so many steps.
        times: so often at most, in all processes together.
        worker: in this one of the workers of a trial; steps are noted by the first one.
        kept: whether there is a checkpoint after each step, not only after each epoch.
    """

    folder: Path
    fault: str
    step: int = 3
    times: int = 1
    worker: int = 0
    kept: bool = False

    def plugin(self) -> Path:
        self.folder.mkdir(exist_ok=True)
        # Of a name that no other test of this process loads.
        file = self.folder / f"faults_{digest_of(str(self.folder))}.py"
        file.write_text(PLUGIN.format(**vars(self), patience=PATIENCE))
        return file

    @property
    def occurred(self) -> int:
        return len(list(self.folder.glob("fault-*")))

    def steps(self) -> list[Step]:
        """The steps that were taken, in their order."""
        lines = (line.split() for line in (self.folder / "steps").read_text().splitlines())
        return [Step(int(pid), int(n), int(parts), float(at)) for pid, n, parts, at in lines]

    def pause(self) -> float:
        """The longest time between two steps, in seconds."""
        times = [step.at for step in self.steps()]
        return max(after - before for before, after in itertools.pairwise(times))


def one_trial(space: Space, data: Path, study: Path, faults: Faults, **more: Any) -> TrialRecord:
    """The only trial of a search in whose process a fault occurs."""
    search(
        space, data, study, trials=1, device="cpu", papers=False, plugins=[faults.plugin()], **more
    )
    (record,) = read_records(study)
    return record
