"""The cost of a study for its driver, by the number of trials::

    python -m benchmarks.scale [--trials 5000] [--workers 500] [--space mobile] [--sampler tpe]

Trials do nothing: their results are made up from their parameters, so all that is timed is the
study's own code, in one process: a proposal, an ending, the memory of the process, the size of the
journal; and afterwards a resume and the report, each in a new process. Seconds are CPU time.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from zlib import crc32

from rich.console import Console
from rich.table import Table

from benchmarks.search.strategies import NOWHERE
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.files import JOURNAL, REPORT_HTML
from launch.records import TrialRecord
from launch.study.opening import open_study
from launch.study.settings import settings_of
from launch.study.study import Study
from launch.trial.result import Outcome, TrialResult
from searchspace import load_space

T = TypeVar("T")

MARKS = (100, 500, 1000, 2000, 5000, 10_000)
"""Numbers of trials at which the costs so far are printed."""

WINDOW = 50
"""Proposals and endings before a mark over which the median is taken."""

RESUME = """
import sys, time
from pathlib import Path
from launch.study.opening import open_study
began = time.process_time()
with open_study(Path(sys.argv[1])):
    print(time.process_time() - began)
"""

REPORTING = """
import sys, time
from pathlib import Path
from launch.searches import report
began = time.process_time()
report(Path(sys.argv[1]))
print(time.process_time() - began)
"""

PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
"""Not `ru_maxrss`, which a process has from the one that started it."""


@dataclass
class Clock:
    """CPU seconds of the latest calls of one kind."""

    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def time(self, call: Callable[..., T], *arguments: Any) -> T:
        began = time.process_time()
        value = call(*arguments)
        self.seconds.append(time.process_time() - began)
        return value

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def made_up(record: TrialRecord) -> TrialResult:
    """A result that depends on the parameters alone: each value has its own share in both."""
    draws = [
        random.Random(crc32(f"{path}={value}".encode())) for path, value in record.params.items()
    ]
    score = statistics.fmean([draw.random() for draw in draws] or [0.5])
    speed = 100 * math.exp(statistics.fmean([draw.gauss(0, 2) for draw in draws] or [0.0]))
    known = {name: None for name in Metrics.model_fields if name.startswith("a")}
    metrics = Metrics(**{**known, "ap_small": score, "ap": score}, small_objects=5, classes={})
    cost = Cost(
        fps=speed,
        latency_ms=1000 / speed,
        spread=0,
        params=10**6,
        macs=10**9,
        device="made up",
        threads=1,
    )
    return TrialResult(
        config=record.config,
        dense=Outcome(metrics=metrics, cost=cost),
        compact=None,
        removed_share=0.0,
        seconds=60.0,
        predicted=cost,
        trained=f"train-{record.number}",
    )


def drive(study: Study, trials: int, workers: int, table: Table) -> None:
    """Let made-up trials run, so many at once, each as long as the others."""
    running: deque[TrialRecord] = deque()
    proposing, ending = Clock(), Clock()
    ended = 0
    while True:
        while len(running) < workers and len(study.records) < trials:
            record = proposing.time(study.propose)
            if record is None:
                break
            running.append(record)
        if not running:
            return
        record = running.popleft()
        ending.time(study.end, record.number, made_up(record))
        ended += 1
        if ended in MARKS or ended == trials:
            size = (study.folder / JOURNAL).stat().st_size
            table.add_row(
                str(ended),
                f"{1000 * proposing.median:.0f}",
                f"{1000 * ending.median:.1f}",
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
                f"{size / ended / 1000:.1f}",
            )
            Console(width=100).print(table)


def alone(code: str, folder: Path) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of some code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code + PEAK, str(folder)], check=True, stdout=subprocess.PIPE
    )
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--sampler", default="tpe")
    given = parser.parse_args(arguments)
    settings = settings_of(
        space=load_space(given.space).dump(),
        train=NOWHERE,
        val=NOWHERE,
        fingerprint="made up",
        trials=given.trials,
        sampler=given.sampler,
        weights="none",
    )
    table = Table("trials", "proposal, ms", "ending, ms", "memory, MB", "journal, kB a trial")
    with TemporaryDirectory() as root:
        folder = Path(root) / "study"
        with open_study(folder, settings) as study:
            study.workers = given.workers
            drive(study, given.trials, given.workers, table)
        seconds, peak = alone(RESUME, folder)
        print(f"resume: {seconds:.1f} s, {peak:.0f} MB")
        seconds, peak = alone(REPORTING, folder)
        size = (folder / REPORT_HTML).stat().st_size
        print(f"report: {seconds:.1f} s, {peak:.0f} MB, {size / 1e6:.2f} MB of HTML")


if __name__ == "__main__":
    main()
