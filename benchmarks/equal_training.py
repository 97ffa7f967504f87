"""What a short training is best spent on: input size, batch size, strides, width::

    python -m benchmarks.equal_training --data FOLDER [--seconds 35]

Trains variants of the space `quick`'s detector for as much CPU time each, on one core, and prints
AP and AP_small. The rules of `sparrow search --space auto` (`launch.searches.auto`) follow these.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.auto_space import cpu_time
from detectors.data.loader import TrainingLoader
from detectors.data.readers import DataSource
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.training.train import fit
from launch.searches.situation import speed_of
from launch.trial.data import TrialData
from launch.trial.initial_weights import fill
from launch.trial.meter import score
from searchspace import Space, TrialConfig, load_space

SIZE, WIDTH, BATCH = "detector.input_size", "detector.width", "train.batch_size"
STRIDES, TAPS = (
    f"detector.backbone.mobilenet_v1.{name}" for name in ("eliminated_strides", "taps")
)

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **{f"{size} px": {SIZE: size} for size in (128, 192, 256, 320, 384)},
    "256 px, batches of 4": {SIZE: 256, BATCH: 4},
    "256 px, width 0.375": {SIZE: 256, WIDTH: 0.375},
    "256 px, no early tap": {SIZE: 256, TAPS: ("layer11", "layer13")},
    "192 px, stride 6 eliminated": {SIZE: 192, STRIDES: (6,)},
}
BASE: Mapping[str, Any] = {WIDTH: 0.25, STRIDES: (), TAPS: ("layer5", "layer11", "layer13")}


def config_of(space: Space, classes: int, variant: Mapping[str, Any]) -> TrialConfig:
    """The baseline of a space with some fields set."""
    return with_variant(space, classes, variant).baseline()


def with_variant(space: Space, classes: int, variant: Mapping[str, Any]) -> Space:
    """A space with the fields of a variant fixed."""
    for path, value in {"detector.num_classes": classes, **BASE, **variant}.items():
        space = space.fix(path, value)
    return space


def trained(config: TrialConfig, data: TrialData, seconds: float) -> tuple[int, Metrics]:
    """The epochs that fit into a time, and what the detector finds after them."""
    epochs, detector = fitted(config, data, seconds)
    return epochs, score(detector, data.val, torch.device("cpu"), bounded=False)


def fitted(config: TrialConfig, data: TrialData, seconds: float) -> tuple[int, Detector]:
    """The epochs that fit into a time, and the detector after them."""
    device, recipe = torch.device("cpu"), config.train
    per_image = speed_of(data.train, device, 1)(config, recipe.batch_size)
    epochs = max(1, round(seconds / (per_image * len(data.train.images))))
    recipe = recipe.changed(epochs=epochs)
    torch.manual_seed(config.seed)
    detector = Detector(config.detector, data.classes)
    fill(detector, recipe, None, None, None)
    loader = TrainingLoader(data.train, recipe, config.detector.canvas, config.seed, device=device)
    fit(detector, loader, recipe)
    return epochs, detector.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=35.0)
    given = parser.parse_args()
    data, space = TrialData.read(DataSource.from_folder(given.data)), load_space("quick")
    table = Table("", "epochs", "AP", "AP_small")
    for name, variant in VARIANTS.items():
        with cpu_time():
            config = config_of(space, data.train.num_classes, variant)
            epochs, metrics = trained(config, data, given.seconds)
        table.add_row(name, str(epochs), f"{metrics.ap:.3f}", f"{metrics.ap_small or 0:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
