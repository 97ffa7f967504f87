"""Compare samplers on a space most of whose parameters are conditional::

    python -m benchmarks.search.conditional [--space papers] [--trials 100] [--seeds 10] [--jobs 2]

Nothing is trained: AP_small is replaced by how closely a design's priors cover small boxes (the
mean of their best IoU), FPS by the inverse of its multiply-accumulates. Both depend on conditional
parameters, such as the taps of one backbone, the end of one neck or the rule of the priors, and not
on training or compression, which a sampler has to find out. Prints, as Markdown, the hypervolume
after some trials, as a share of that of all designs that any of the searches found. Each search
takes two to four minutes.
"""

from __future__ import annotations

import argparse
import functools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torchvision.ops import box_convert

from benchmarks.search.compare import median, side_by_side
from benchmarks.search.strategies import settings_for
from benchmarks.search.table import Table
from detectors.boxes import batched_iou
from detectors.describe import describe
from detectors.priors import default_boxes
from launch.figures import DEFAULT, heights
from launch.pareto import hypervolume
from launch.study.opening import open_study
from launch.study.samplers import SAMPLERS
from launch.trial.result import TrialResult
from searchspace import DetectorConfig, TrialConfig, load_space

BOXES = 64
SIDES = (1 / 40, 1 / 9)
"""Sides of the boxes to be covered, as shares of the image: 8 to 33 of 300 pixels."""

Point = tuple[float, float]


@functools.cache
def small_boxes() -> torch.Tensor:
    """Boxes [BOXES, 4] as xyxy in fractions of the image, always the same."""
    random = torch.Generator().manual_seed(0)
    centres = 0.1 + 0.8 * torch.rand(BOXES, 2, generator=random)
    low, high = map(math.log, SIDES)
    sides = (low + (high - low) * torch.rand(BOXES, 2, generator=random)).exp()
    return box_convert(torch.cat((centres, sides), 1), "cxcywh", "xyxy")


@functools.cache
def figures(config: DetectorConfig) -> Point:
    """How closely small boxes are covered, and images per second at 10^12 MACs per second."""
    priors = default_boxes(config.priors(), config.levels(), config.input_size)
    overlap = batched_iou(small_boxes(), box_convert(priors, "cxcywh", "xyxy"))
    return overlap.amax(1).mean().item(), 1e12 / describe(config).macs


@functools.cache
def _recorded() -> TrialResult:
    return Table.read().designs[0].result


def result_of(config: TrialConfig) -> TrialResult:
    """A result with the figures of a configuration's detector; its other values are arbitrary."""
    coverage, speed = figures(config.detector)
    recorded = _recorded().dense
    metrics = recorded.metrics.model_copy(update={"ap_small": coverage})
    dense = recorded.model_copy(
        update={"metrics": metrics, "cost": recorded.cost.model_copy(update={"fps": speed})}
    )
    return TrialResult(
        config=config, dense=dense, compact=None, removed_share=0.0, seconds=1.0,
        predicted=dense.cost, trained="",
    )  # fmt: skip


def search(space: str, sampler: str, seed: int, trials: int) -> list[Point]:
    """The designs of one study in order: coverage, and the logarithm of speed."""
    settings = settings_for(load_space(space), seed, trials, papers=False, sampler=sampler)
    met = []
    with tempfile.TemporaryDirectory() as folder, open_study(Path(folder), settings) as study:
        while record := study.propose():
            result = result_of(record.config)
            study.end(record.number, result)
            met.append(heights(DEFAULT, [result.figure(name) for name in DEFAULT]))
    return met


def table(searches: dict[str, list[list[Point]]], after: Sequence[int]) -> str:
    """Hypervolume after some trials: median and quartiles over the seeds, as Markdown."""
    every = [found for runs in searches.values() for run in runs for found in run]
    floor = (0.0, min(speed for _, speed in every))
    whole = hypervolume(list(set(every)), floor)
    lines = [f"| | {' | '.join(f'after {count}' for count in after)} |"]
    lines.append("|---|" + "---:|" * len(after))
    for name, runs in searches.items():
        shares = ([hypervolume(run[:count], floor) / whole for run in runs] for count in after)
        lines.append(f"| {name} | {' | '.join(map(median, shares))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="papers")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=["random", "tpe", "gp"])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2, help="parallel processes")
    arguments = parser.parse_args()
    run = functools.partial(search, arguments.space, trials=arguments.trials)
    searches = side_by_side(run, arguments.samplers, arguments.seeds, arguments.jobs)
    print(table(searches, [arguments.trials // 4, arguments.trials // 2, arguments.trials]))


if __name__ == "__main__":
    main()
