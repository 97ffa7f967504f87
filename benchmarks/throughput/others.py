"""What is measured beside training: data alone, COCO's metrics, and the start of a trial."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.data_path import RECIPES, ours, rates, theirs
from benchmarks.throughput.turns import ratio
from detectors.data.dataset import Dataset
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.evaluation.coco import ENGINES, REFEREE
from detectors.evaluation.results import Results
from detectors.quiet import threads
from launch.trial.data import TrialData
from launch.trial.run import run_trial
from searchspace import TrialConfig, load_space
from searchspace.geometry import canvas_of

FAST = next(iter(ENGINES))
A_DETECTIONS = 50
"""Detections on an image in the comparison of engines."""

CPU = torch.device("cpu")


def data_alone(split: Dataset, rounds: int, batch: int) -> dict[str, dict[str, float]]:
    """By recipe, images per CPU second of torchvision's transforms and of ours, and their ratio."""
    found = {}
    with threads(1):
        for name, augment in RECIPES.items():
            canvas = canvas_of(300)
            calls = {
                "torchvision": theirs(split, augment, canvas, batch),
                "Sparrow": ours(split, augment, canvas, batch, CPU),
            }
            seen = rates(calls, batch, rounds, time.process_time)
            found[name] = {who: statistics.median(r) for who, r in seen.items()}
            found[name]["ratio"] = ratio(seen["torchvision"], seen["Sparrow"])
    return found


def metrics_alone(split: Dataset, rounds: int) -> dict[str, float]:
    """CPU seconds of both engines for COCO's tables of random detections, and their ratio."""
    results = _random_results(split)
    seconds: dict[str, list[float]] = {REFEREE: [], FAST: []}
    for _ in range(rounds):
        for name, taken in seconds.items():
            taken.append(_cpu(partial(ENGINES[name], split, results, 100)))
    found = {name: statistics.median(taken) for name, taken in seconds.items()}
    speeds = [[1 / s for s in taken] for taken in seconds.values()]
    return found | {"images": len(split.images), "ratio": ratio(*speeds)}


def _random_results(split: Dataset) -> Results:
    """Boxes anywhere, of any class."""
    rng = np.random.default_rng(0)
    images = np.repeat([image.id for image in split.images], A_DETECTIONS)
    sides = np.repeat([(i.width, i.height) for i in split.images], A_DETECTIONS, axis=0)
    corner, size = rng.random((2, len(images), 2)) * sides[None] / 2
    classes = rng.choice([category.id for category in split.categories], len(images))
    return Results(images, classes, np.concatenate((corner, size), 1), rng.random(len(images)))


def start_of_a_trial() -> dict[str, float]:
    """CPU seconds of the first and of the second trial of a process, which train next to nothing.

    Both have one step on two images, one validation image and the shortest measurement.
    """
    logging.getLogger().setLevel(logging.ERROR)  # such measurements are not to be trusted
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = ShapesConfig(train_images=2, val_images=1, size=96)
        data = TrialData.of(generate_shapes(folder / "shapes", few))
        config = _trivial(load_space("quick").baseline())
        seconds = [
            _cpu(partial(run_trial, config.changed(seed=seed), data, folder / str(seed), "cpu"))
            for seed in range(3)
        ]
    return {"first": seconds[0], "second": seconds[1], "third": seconds[2]}


def _trivial(config: TrialConfig) -> TrialConfig:
    measure = config.measure.changed(
        runtime="eager", precision="float32", seconds=0.01, runs=1, passes=1
    )
    train = config.train.changed(epochs=1, batch_size=2, weights="none")
    return config.changed(
        detector=config.detector.changed(input_size=96), train=train, measure=measure
    )


def _cpu(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
