"""How well do measurements of one design agree? Each runs in its own process::

    python -m benchmarks.fps_agreement [--space quick] [--times 3]

Prints, for raw frames per second (the median of all calls) and for those normalised by the
reference network, each figure and (highest - lowest) / lowest. The exit status is 1 if the
normalised ones, which a search maximises, differ by more than 5 %. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch

from detectors.detector import Detector
from detectors.timing.cost import Cost
from detectors.timing.measure import measure
from launch.trial.run import pick_device
from searchspace import load_space

ALLOWED = 0.05


def measured(space: str) -> Cost:
    """The cost of the space's untrained baseline, measured in this process."""
    config = load_space(space).baseline()
    torch.manual_seed(0)
    return measure(Detector(config.detector), config.measure, pick_device())


def shown(name: str, figures: list[float]) -> float:
    """Print figures and their spread; returns that."""
    spread = max(figures) / min(figures) - 1
    print(f"{name}: {', '.join(f'{figure:.1f}' for figure in figures)}; spread {spread:.1%}")
    return spread


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="quick")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(measured(arguments.space).model_dump_json())
        return 0
    command = [sys.executable, "-m", "benchmarks.fps_agreement", "--once", "--space"]
    runs = [
        subprocess.run([*command, arguments.space], capture_output=True, text=True, check=True)
        for _ in range(arguments.times)
    ]
    costs = [Cost.model_validate_json(run.stdout.splitlines()[-1]) for run in runs]
    print(f"{costs[0].device}, {costs[0].runtime} {costs[0].precision}: baseline of", end=" ")
    print(f"{arguments.space}, {costs[0].timing.whole.latency.calls} calls in each process")
    shown("raw FPS", [cost.raw_fps for cost in costs])
    # One nominal latency for all, as in a study: each process has found a different one.
    nominal = min(cost.nominal_ms for cost in costs)
    spread = shown("normalised FPS", [1000 / (c.timing.whole.ratio * nominal) for c in costs])
    for cost in costs:
        if not cost.trusted:
            print(f"not trusted: {cost.doubt}")
    return int(spread > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
