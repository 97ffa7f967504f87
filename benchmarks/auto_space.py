"""The space made for the data compared with named ones, at equal device time::

    python -m benchmarks.auto_space --data FOLDER [--minutes 4] [--seeds 3] [--out runs/auto]

Searches `auto`, `quick` and `mobile` (or some of them, `--spaces`) for as many minutes of one core
each, and prints the hypervolume of their fronts: median and range over the seeds. Other work may
run beside: time is the CPU time of the process. Speeds are relative to the reference network's,
which each measurement times in turns with the detector, and all hypervolumes have one reference
point: AP_small 0, and half the speed of the slowest detector of any search, so that even this one
counts. Backbones start from random weights where published ones cannot be had.

A search that has ended is only read, so an interrupted benchmark resumes. In full it takes three
times minutes times seeds, and longer where the first trial alone takes more: those of `mobile` have
120 epochs.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

from detectors.weights.published import WeightsUnavailable
from launch import search
from launch.files import SETTINGS
from launch.pareto import front, hypervolume
from launch.searches import resume
from launch.searches.auto import AUTO
from launch.study.opening import read_records
from launch.trial.initial_weights import NONE, make_sure
from searchspace import load_space

SPACES = (AUTO, "quick", "mobile")
MANY = 10_000
"""More trials than there is time for."""

CLOCKED = ("launch.trial.run", "launch.drivers.attempt", "launch.searches.situation")
"""Modules that time trainings and trials."""

Point = tuple[float, float]
"""AP_small, and speed as a multiple of the reference network's."""


@contextlib.contextmanager
def cpu_time(*measuring: str) -> Iterator[None]:
    """Trials take the CPU time of this process, on one core.

    Args:
        measuring: further modules that count time so.
    """
    clock = SimpleNamespace(monotonic=time.process_time, perf_counter=time.process_time)
    with contextlib.ExitStack() as patched:
        for module in (*CLOCKED, *measuring):
            patched.enter_context(mock.patch(f"{module}.time", clock))
        patched.enter_context(mock.patch("os.cpu_count", return_value=1))
        torch.set_num_threads(1)
        yield


def run(space: str, data: Path, folder: Path, minutes: float, seed: int) -> None:
    """A search in a folder, from its beginning, from where it stopped, or none if it has ended."""
    if (folder / SETTINGS).exists():
        resume(folder, driver="local")
        return
    search(
        space,
        data,
        folder,
        trials=MANY,
        device_hours=minutes / 60,
        seed=seed,
        driver="local",
        device="cpu",
        weights=_weights(space),
        on_known=print,
    )


def _weights(space: str) -> str | None:
    """Random weights for a named space whose published ones cannot be had."""
    if space == AUTO:
        return None
    try:
        make_sure(load_space(space), None)
    except WeightsUnavailable:
        return NONE
    return None


def points_of(folder: Path) -> list[Point]:
    """The detectors of a study's finished trials."""
    results = [record.result for record in read_records(folder)]
    outcomes = [result.final for result in results if result is not None]
    return [(o.metrics.ap_small or 0.0, _speed(o.cost.fps, o.cost.nominal_ms)) for o in outcomes]


def _speed(fps: float, nominal_ms: float | None) -> float:
    """Images per second as a multiple of the reference network's; see `Cost`."""
    if nominal_ms is None:
        raise ValueError("a speed was measured without the reference network: search again")
    return fps * nominal_ms / 1000


def hypervolumes(found: Mapping[Path, Sequence[Point]]) -> dict[Path, float]:
    """The hypervolume of each search's front, with one reference point for all."""
    slowest = min((speed for points in found.values() for _, speed in points), default=1.0)

    def scaled(points: Sequence[Point]) -> list[Point]:
        return [(score, math.log(speed / (slowest / 2))) for score, speed in points]

    return {folder: hypervolume(scaled(points), (0.0, 0.0)) for folder, points in found.items()}


def table(found: Mapping[str, Sequence[Path]]) -> Table:
    """A row for each space, whose searches lie in folders."""
    points = {folder: points_of(folder) for folders in found.values() for folder in folders}
    areas = hypervolumes(points)
    made = Table("space", "hypervolume", "best AP_small", "fastest", "trials", "on the front")
    for space, folders in found.items():
        own = [points[folder] for folder in folders]
        made.add_row(
            space,
            _spread([areas[folder] for folder in folders]),
            _spread([max((score for score, _ in some), default=0.0) for some in own]),
            _spread([max((speed for _, speed in some), default=0.0) for some in own], 2),
            _spread([len(some) for some in own], 0),
            _spread([len(front(some)) for some in own], 0),
        )
    return made


def _spread(values: Sequence[float], digits: int = 3) -> str:
    """Median and range."""
    middle, low, high = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/auto_space"))
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=SPACES)
    given = parser.parse_args(arguments)
    found: dict[str, list[Path]] = {space: [] for space in given.spaces}
    # Seeds outside: after the first, there is something to compare.
    for seed in range(given.seeds):
        for space in given.spaces:
            folder = given.out / f"{space}-{seed}"
            with cpu_time():
                run(space, given.data, folder, given.minutes, seed)
            found[space].append(folder)
        Console(width=120).print(table(found))


if __name__ == "__main__":
    main()
