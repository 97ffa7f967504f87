"""Faults in the processes of trials: a plugin that a test writes, and what it noted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from searchspace.digests import digest_of

PLUGIN = """
import errno, os, signal, time
from pathlib import Path

import ray
import torch

from detectors.training.notice import NOTICE
from detectors.training.run import Run
from launch.drivers import kernel_kills

HERE, STEP, TIMES = Path(__file__).parent, {step}, {times}
step = Run.step


def fault(run):
    {fault}


def give_notice():
    os.kill(os.getpid(), signal.SIGTERM)
    while not NOTICE.given:
        time.sleep(0.01)


def noted(run, *batch):
    found = step(run, *batch)
    with open(HERE / "steps", "a") as file:
        print(os.getpid(), run.scheduler.last_epoch, run.parts, time.time(), file=file)
    done = len(list(HERE.glob("fault-*")))
    if run.scheduler.last_epoch >= STEP * (done + 1) and done < TIMES:
        (HERE / f"fault-{{done}}").touch()
        fault(run)
    return found


# Not in the process of the test.
if ray.is_initialized() and ray._private.worker.global_worker.mode == ray.WORKER_MODE:
    Run.step = noted
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
    """

    folder: Path
    fault: str
    step: int = 3
    times: int = 1

    def plugin(self) -> Path:
        self.folder.mkdir(exist_ok=True)
        # Of a name that no other test of this process loads.
        file = self.folder / f"faults_{digest_of(str(self.folder))}.py"
        file.write_text(PLUGIN.format(fault=self.fault, step=self.step, times=self.times))
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
