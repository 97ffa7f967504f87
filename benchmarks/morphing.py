"""Does a detector with inherited weights match one trained from scratch in a quarter of the epochs?

    python -m benchmarks.morphing [--epochs 40] [--seeds 1]

An SSD-MobileNetV1 that also taps layer 5, the same without the stride of layer 6 (S1L6) or 4
(S1L4), and S1L4 with a split second path have the same tensors. Each is trained from scratch on
generated shapes, and from the weights of a trained parent for a quarter of the epochs, with the
same recipe and images. Takes about 25 minutes of one core. The exit status is 1 if a detector with
inherited weights has a lower AP_small.

Without layer 5 among its taps, the parent finds almost no small objects and there is nothing to
inherit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.evaluate import evaluate
from detectors.training.train import fit
from detectors.weights.place import inherit
from searchspace import DetectorConfig, TrainConfig
from searchspace.augmentation import Augment
from searchspace.backbones import MobileNetV1
from searchspace.heads import Multibox
from searchspace.necks import Step
from searchspace.necks.dual_path import Split
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.priors import ScaledPriors

SHAPES = ShapesConfig(train_images=400, val_images=200, size=128, seed=3)
CPU = torch.device("cpu")
SHARE = 4
"""A detector with inherited weights is trained for 1 / SHARE of the epochs."""


def narrow(backbone: MobileNetV1, *steps: Step) -> DetectorConfig:
    """A narrow detector of five levels, whose priors follow its cells."""
    extend = Extend(grow=(Growth(channels=512), Growth(channels=256)))
    return DetectorConfig(
        input_size=SHAPES.size,
        num_classes=4,
        width=0.25,
        backbone=backbone,
        neck=(L2Norm(), *steps, extend),
        head=Multibox(priors=ScaledPriors()),
    )


TAPS = ("layer5", "layer11", "layer13")
SYSTEMS = {
    "stock": narrow(MobileNetV1(taps=TAPS)),
    "S1L6": narrow(MobileNetV1(taps=TAPS, eliminated_strides=(6,))),
    "S1L4": narrow(MobileNetV1(taps=TAPS, eliminated_strides=(4,))),
    "S1L4 dual path": narrow(
        MobileNetV1(taps=TAPS, eliminated_strides=(4,), second_path=True), Split(side=1)
    ),
}

MORPHS = (
    ("stock", "S1L6"),
    ("stock", "S1L4"),
    ("S1L6", "S1L4"),
    ("S1L4", "S1L4 dual path"),
)
"""Pairs (parent, child)."""


def recipe(epochs: int) -> TrainConfig:
    """The recipe of all trainings."""
    return TrainConfig(
        epochs=epochs,
        batch_size=8,
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=1e-2,
        augment=Augment(photometric=0.2, zoom_out=0, crop=0),
    )


@dataclass(frozen=True)
class Run:
    """One training: its start, cost and result."""

    name: str
    start: str
    epochs: int
    steps: int
    ap_small: float
    ap: float
    seconds: float


def trained(
    splits: tuple[Dataset, Dataset],
    config: DetectorConfig,
    epochs: int,
    seed: int,
    name: str,
    parent: tuple[str, Detector] | None = None,
) -> tuple[Run, Detector]:
    """Train from scratch, or from the weights of a parent, and evaluate."""
    begun = time.process_time()
    torch.manual_seed(seed)
    detector, start = Detector(config), "scratch"
    if parent is not None:
        copied = len(inherit(detector, parent[1]).copied)
        start = f"{parent[0]}, {copied} of {len(detector.state_dict())} tensors"
    training = recipe(epochs)
    loader = TrainingLoader(splits[0], training, config.input_size, seed)
    fit(detector, loader, training, progress=sys.stderr.isatty())
    metrics = evaluate(detector, splits[1], CPU)
    figures = (metrics.ap_small, metrics.ap, time.process_time() - begun)
    return Run(name, start, epochs, epochs * len(loader), *figures), detector


def repetition(splits: tuple[Dataset, Dataset], epochs: int, seed: int) -> list[Run]:
    """Each system from scratch, then each pair."""
    made = {name: trained(splits, config, epochs, seed, name) for name, config in SYSTEMS.items()}
    morphs = [
        trained(splits, SYSTEMS[name], epochs // SHARE, seed, name, (parent, made[parent][1]))[0]
        for parent, name in MORPHS
    ]
    return [*(run for run, _ in made.values()), *morphs]


def averaged(repetitions: Sequence[list[Run]]) -> list[Run]:
    """Each training's mean figures over the seeds."""
    figures = ("ap_small", "ap", "seconds")
    return [
        replace(runs[0], **{f: statistics.mean(getattr(run, f) for run in runs) for f in figures})
        for runs in zip(*repetitions, strict=True)
    ]


def table(runs: list[Run], seeds: int) -> Table:
    shown = Table(title=f"Mean of {seeds} seeds" if seeds > 1 else None, header_style="bold")
    for heading in ("Detector", "Starts from"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("Epochs", "Steps", "AP_small", "AP", "CPU seconds"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for run in runs:
        numbers = (f"{run.epochs}", f"{run.steps:,}", f"{run.ap_small:.3f}", f"{run.ap:.3f}")
        shown.add_row(run.name, run.start, *numbers, f"{run.seconds:.0f}")
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40, help="of a training from scratch")
    parser.add_argument("--seeds", type=int, default=1, help="repetitions")
    arguments = parser.parse_args()
    if arguments.epochs < SHARE or arguments.seeds < 1:
        parser.error(f"at least {SHARE} epochs and 1 seed")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        source = DataSource.from_folder(generate_shapes(Path(folder) / "shapes", SHAPES))
        splits = read_source(source)
        repetitions = [
            repetition(splits, arguments.epochs, seed) for seed in range(arguments.seeds)
        ]
    runs = averaged(repetitions)
    Console().print(table(runs, arguments.seeds))
    scratch = {run.name: run.ap_small for run in runs[: len(SYSTEMS)]}
    behind = [
        f"{run.name} from {run.start.split(',')[0]} ({run.ap_small:.3f} of {scratch[run.name]:.3f})"
        for run in runs[len(SYSTEMS) :]
        if run.ap_small < scratch[run.name]
    ]
    print("Lower AP_small:" if behind else "No inherited detector is worse.", ", ".join(behind))
    return int(bool(behind))


if __name__ == "__main__":
    sys.exit(main())
