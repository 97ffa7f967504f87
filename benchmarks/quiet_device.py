"""What do trainings beside a measurement do to it, with the device's lock and without?::

    python -m benchmarks.quiet_device [--trainings 0 1 2 4 0] [--seconds 8]

Every training is a process of its own that trains a small detector on generated shapes. Prints
frames per second raw, by the median of all calls, and normalised by the reference network, each
with its difference from the idle machine's; takes three to four minutes. Run it on an idle machine:
ends with status 1 where a figure with the lock is more than 3 % off.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

from detectors.cost import Cost
from detectors.data.coco import DataSource, read_source
from detectors.data.loader import TrainingLoader
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.speed import hardware_name, measure
from detectors.train import fit
from launch.trial import pick_device
from searchspace import load_space

ALLOWED = 0.03
PATIENCE = 120
"""Seconds within which a training must have begun."""

LOCKED, UNLOCKED = "with the lock", "without it"


def train(shapes: Path, started: Path, locked: bool) -> None:
    """Train until killed; `started` appears behind the first epoch."""
    torch.set_num_threads(1)
    config = load_space("quick").baseline()
    split, _ = read_source(DataSource.from_folder(shapes))
    recipe = config.train.model_copy(update={"epochs": 100_000, "batch_size": 8})
    loader = TrainingLoader(split, recipe, config.detector.input_size, seed=0)
    unlocked = mock.patch("detectors.train.computing", return_value=contextlib.nullcontext())
    with contextlib.nullcontext() if locked else unlocked:
        fit(
            Detector(config.detector),
            loader,
            recipe,
            pick_device(),
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
                    raise RuntimeError("a training did not begin")
                time.sleep(0.1)
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()


def measured(count: int, kind: str, seconds: float) -> Cost:
    """What the baseline of the quick space costs beside so many trainings."""
    config = load_space("quick").baseline()
    torch.manual_seed(0)
    effort = config.measure.model_copy(update={"seconds": seconds})
    with trainings(count, locked=kind == LOCKED):
        return measure(Detector(config.detector), effort, pick_device())


def table(found: list[tuple[int, str, Cost]]) -> Table:
    """Frames per second of each case, with the difference from the first one."""
    idle = found[0][2]
    table = Table(title=hardware_name(pick_device()), header_style="bold")
    for heading in ("Trainings", "Lock", "Raw FPS", "off", "Normalised FPS", "off", "Trusted"):
        table.add_column(heading, justify="left" if heading in ("Lock", "Trusted") else "right")
    for count, kind, cost in found:
        raw, paired = off(cost, idle)
        # All figures rest on the same nominal latency here: that of the idle machine.
        fps = 1000 / (cost.timing.whole.ratio * idle.nominal_ms)
        table.add_row(
            str(count),
            kind if count else "",
            f"{cost.raw_fps:.1f}",
            f"{raw:+.1%}",
            f"{fps:.1f}",
            f"{paired:+.1%}",
            cost.doubt or "yes",
        )
    return table


def off(cost: Cost, idle: Cost) -> tuple[float, float]:
    """By how much raw and normalised frames per second differ from the idle machine's."""
    paired = idle.timing.whole.ratio / cost.timing.whole.ratio - 1
    return cost.raw_fps / idle.raw_fps - 1, paired


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainings", type=int, nargs="+", default=[0, 1, 2, 4, 0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--train", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--locked", action=argparse.BooleanOptionalAction, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(*arguments.train, locked=arguments.locked)
        return 0
    found = []
    for count in arguments.trainings:
        for kind in (LOCKED, UNLOCKED) if count else (LOCKED,):
            found.append((count, kind, measured(count, kind, arguments.seconds)))
    Console().print(table(found))
    with_lock = [off(cost, found[0][2]) for _, kind, cost in found if kind == LOCKED]
    return int(any(abs(paired) > ALLOWED for _, paired in with_lock))


if __name__ == "__main__":
    sys.exit(main())
