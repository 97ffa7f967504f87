"""How do concurrent trainings affect a measurement, with and without the device's lock?::

    python -m benchmarks.quiet_device [--trainings 1 2 4] [--rounds 3] [--seconds 8]

Each training is a separate process that trains a small detector on generated shapes. Prints raw
frames per second (by the median of all calls), and by how much these and the normalised ones differ
from those of the idle machine, which is measured at both ends of each round. Takes five minutes.
Run it on an idle machine: the exit status is 1 if a normalised figure with the lock is more than 3
% off.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

from detectors.data.loader import TrainingLoader
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.timing.cost import Cost
from detectors.timing.measure import hardware_name, measure
from detectors.training.train import fit
from launch.trial.run import pick_device
from searchspace import load_space

ALLOWED = 0.03
PATIENCE = 120
"""Seconds within which a training must have started."""

LOCKED, UNLOCKED = "with the lock", "without it"


class Case(NamedTuple):
    """The number of trainings during a measurement, and whether they use the device's lock."""

    trainings: int
    lock: str


def train(shapes: Path, started: Path, locked: bool) -> None:
    """Train until killed; the file `started` appears after the first epoch."""
    torch.set_num_threads(1)
    config = load_space("quick").baseline()
    split, _ = read_source(DataSource.from_folder(shapes))
    recipe = config.train.model_copy(update={"epochs": 100_000, "batch_size": 8})
    loader = TrainingLoader(split, recipe, config.detector.canvas, seed=0)
    unlocked = mock.patch(
        "detectors.training.train.computing", return_value=contextlib.nullcontext()
    )
    with contextlib.nullcontext() if locked else unlocked:
        fit(
            Detector(config.detector).to(pick_device()),
            loader,
            recipe,
            on_epoch=lambda epoch, losses: started.touch(),
        )


@contextlib.contextmanager
def trainings(count: int, locked: bool) -> Iterator[None]:
    """So many trainings at work beside this process."""
    with tempfile.TemporaryDirectory() as folder:
        shapes = generate_shapes(
            Path(folder) / "shapes", ShapesConfig(train_images=32, val_images=1, size=160)
        )
        signs = [Path(folder) / str(number) for number in range(count)]
        command = [sys.executable, "-m", "benchmarks.quiet_device", "--train", str(shapes)]
        kind = "--locked" if locked else "--no-locked"
        processes = [subprocess.Popen([*command, str(sign), kind]) for sign in signs]
        try:
            until = time.monotonic() + PATIENCE
            while not all(sign.exists() for sign in signs):
                if time.monotonic() > until or any(p.poll() is not None for p in processes):
                    raise RuntimeError("a training did not start")
                time.sleep(0.1)
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()


def measured(case: Case, seconds: float) -> Cost:
    """The cost of the baseline of the space `quick`, measured during the case's trainings."""
    config = load_space("quick").baseline()
    torch.manual_seed(0)
    effort = config.measure.model_copy(update={"seconds": seconds})
    with trainings(case.trainings, locked=case.lock == LOCKED):
        return measure(Detector(config.detector), effort, pick_device())


def differences(costs: list[Cost]) -> list[tuple[float, float]]:
    """Relative differences of each cost's raw and normalised frames per second from idle.

    The first and the last cost are those of the idle machine; the others are compared with their
    mean, which reduces the effect of drift.
    """
    raw = statistics.fmean((costs[0].raw_fps, costs[-1].raw_fps))
    # By the ratio to the reference: the nominal latency of normalised figures may change.
    paired = statistics.fmean(1 / cost.timing.whole.ratio for cost in (costs[0], costs[-1]))
    return [(c.raw_fps / raw - 1, 1 / c.timing.whole.ratio / paired - 1) for c in costs]


def table(cases: Sequence[Case], rounds: Sequence[list[Cost]]) -> Table:
    """For each case the difference from idle, median and range over the rounds."""
    table = Table(title=hardware_name(pick_device()), header_style="bold")
    for heading in (
        "Trainings",
        "Lock",
        "Raw FPS",
        "off",
        "Normalised, off",
        "Range",
        "Trusted",
    ):
        table.add_column(heading, justify="left" if heading == "Lock" else "right")
    found = [differences(costs) for costs in rounds]
    for k, case in enumerate(cases):
        raw, paired = zip(*(differences[k] for differences in found), strict=True)
        costs = [costs[k] for costs in rounds]
        table.add_row(
            str(case.trainings),
            case.lock if case.trainings else "",
            f"{statistics.median(cost.raw_fps for cost in costs):.1f}",
            f"{statistics.median(raw):+.1%}",
            f"{statistics.median(paired):+.1%}",
            f"{min(paired):+.1%} to {max(paired):+.1%}",
            f"{sum(cost.trusted for cost in costs)} of {len(costs)}",
        )
    return table


def worst(cases: Sequence[Case], rounds: Sequence[list[Cost]]) -> float:
    """The largest difference of a normalised figure with the lock, by the median of the rounds."""
    found = [differences(costs) for costs in rounds]
    with_lock = [k for k, case in enumerate(cases) if case.trainings and case.lock == LOCKED]
    return max(abs(statistics.median(round_[k][1] for round_ in found)) for k in with_lock)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainings", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--train", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--locked", action=argparse.BooleanOptionalAction, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(*arguments.train, locked=arguments.locked)
        return 0
    beside = [Case(n, lock) for n in arguments.trainings for lock in (LOCKED, UNLOCKED)]
    cases = [Case(0, LOCKED), *beside, Case(0, LOCKED)]
    rounds = [
        [measured(case, arguments.seconds) for case in cases] for _ in range(arguments.rounds)
    ]
    Console().print(table(cases, rounds))
    return int(worst(cases, rounds) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
