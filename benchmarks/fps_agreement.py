"""How far do three measurements of one design agree? Each runs in a process of its own::

    python -m benchmarks.fps_agreement [--space quick] [--times 3]

Prints each figure and (highest - lowest) / lowest; ends with status 1 where that is above 5 %. Run
it on an idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch

from detectors.detector import Detector
from detectors.speed import hardware_name, measure
from launch.trial import pick_device
from searchspace import load_space

ALLOWED = 0.05


def fps(space: str) -> float:
    """Frames per second of the space's baseline, untrained, measured in this process."""
    config = load_space(space).baseline()
    torch.manual_seed(0)
    return measure(Detector(config.detector), config.measure, pick_device()).fps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="quick")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(fps(arguments.space))
        return 0
    command = [sys.executable, "-m", "benchmarks.fps_agreement", "--once", "--space"]
    runs = [
        subprocess.run([*command, arguments.space], capture_output=True, text=True, check=True)
        for _ in range(arguments.times)
    ]
    figures = [float(run.stdout) for run in runs]
    spread = max(figures) / min(figures) - 1
    print(f"{hardware_name(pick_device())}: baseline of {arguments.space}, FPS", end=" ")
    print(", ".join(f"{figure:.1f}" for figure in figures), f"- spread {spread:.1%}")
    return int(spread > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
