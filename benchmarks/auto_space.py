"""The space made for the data compared with named ones, at equal device time::

    python -m benchmarks.auto_space --data FOLDER [--device-hours 2] [--seeds 3] [--out runs/auto]

Searches `auto`, `quick` and `mobile` for as many device-hours each, and prints the hypervolume of
their fronts over AP_small and FPS: median and range over the seeds. A search that has ended is only
read, so an interrupted benchmark goes on when it is called again. In full it takes three times
device-hours times seeds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from launch import search
from launch.files import FRONT_JSON, SETTINGS
from launch.report.study import StudyView
from launch.searches import resume
from launch.study.study import read_records

SPACES = ("auto", "quick", "mobile")
MANY = 10_000
"""More trials than the device-hours have room for."""


def hypervolume_of(folder: Path) -> float:
    """The hypervolume of a study's front; 0 where no trial has finished."""
    return StudyView.of(read_records(folder)).hypervolume or 0.0


def run(space: str, data: Path, folder: Path, hours: float, seed: int, device: str | None) -> None:
    """A search in a folder, from its beginning, from where it stopped, or none if it has ended."""
    if (folder / FRONT_JSON).exists():
        return
    if (folder / SETTINGS).exists():
        resume(folder, driver="local")
        return
    search(
        space,
        data,
        folder,
        trials=MANY,
        device_hours=hours,
        seed=seed,
        driver="local",
        device=device,
        on_known=print,
    )


def table(found: dict[str, Sequence[float]]) -> Table:
    """A row for each space."""
    made = Table("space", "hypervolume", "range", "seeds")
    for space, values in found.items():
        span = f"{min(values):.3f} to {max(values):.3f}"
        made.add_row(space, f"{statistics.median(values):.3f}", span, str(len(values)))
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/auto_space"))
    parser.add_argument("--device-hours", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default=None)
    given = parser.parse_args(arguments)
    found: dict[str, list[float]] = {space: [] for space in SPACES}
    # Seeds outside: after the first, there is something to compare.
    for seed in range(given.seeds):
        for space in SPACES:
            folder = given.out / f"{space}-{seed}"
            run(space, given.data, folder, given.device_hours, seed, given.device)
            found[space].append(hypervolume_of(folder))
        Console().print(table(found))


if __name__ == "__main__":
    main()
