"""The device, the budget and the weights that an automatic space is made for."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from pathlib import Path

import torch

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader, workers_for
from detectors.detector import Detector
from detectors.quiet import threads
from detectors.training.train import fit
from detectors.weights.published import WeightsUnavailable
from launch.drivers.driver import Driver, Say
from launch.searches.auto import AutoSpace, Speed, make_space
from launch.searches.auto_budget import MOBILE, PAPERS, Base, Situation
from launch.study.search_settings import SearchSettings
from launch.trial.data import TrialData
from launch.trial.health import warnings_of
from launch.trial.initial_weights import NONE, make_sure
from launch.trial.run import pick_device
from launch.trial.teachers import is_saved_detector
from searchspace import TrialConfig, load_space

BATCHES, EPOCHS = 3, 3
"""Steps of a measured epoch, and epochs, of which the first does not count."""


def made_for(data: TrialData, asked: SearchSettings, driver: Driver, say: Say) -> AutoSpace:
    """A space made for data, device and budget, whose reasons are said."""
    speed = speed_of(data.train, pick_device(asked.resources.device), driver.cores())
    made = make_space(data.train, situation_of(asked, driver, data.val), speed)
    for words in made.reasons:
        say(f"space auto: {words}")
    for words in warnings_of(made.warnings):
        say(words)
    return made


def situation_of(asked: SearchSettings, driver: Driver, val: Dataset) -> Situation:
    """The situation of a search; published weights are downloaded where that is possible."""
    device = pick_device(asked.resources.device).type
    given = asked.start.weights
    random = given is not None and (str(given) == NONE or is_saved_detector(Path(given)))
    published = given is not None and not random
    seconds, places = _seconds(asked, driver.places())
    found = Situation(device, seconds, asked.budget.trials, len(val.images), places)
    if published or random:
        return dataclasses.replace(found, only_published=published)
    missing = _missing(PAPERS if device == "cuda" else MOBILE)
    return dataclasses.replace(found, weights=missing)


def _seconds(asked: SearchSettings, places: int) -> tuple[float | None, int]:
    """The device time of a budget, and the number of trials that share it by the clock."""
    budget, limits = asked.budget, list[tuple[float, int]]()
    if budget.time_limit is not None:
        limits.append((budget.time_limit * places, places))
    if budget.device_hours is not None:
        limits.append((3600 * budget.device_hours, 1))
    return min(limits, default=(None, 1))


def _missing(base: Base) -> str:
    """Why published weights of a space cannot be had; empty where they can."""
    try:
        make_sure(load_space(base.name), None)
    except WeightsUnavailable:
        return "no published weights: they cannot be downloaded here; --weights names a folder"
    return ""


def speed_of(train: Dataset, device: torch.device, cores: float | None) -> Speed:
    """A measurement of the training: the fastest of a few short epochs on some images.

    Args:
        cores: threads of a trial on a CPU; None for all.
    """

    def seconds_per_image(config: TrialConfig, batch: int) -> float:
        few = _some(train, BATCHES * batch)
        recipe = config.train.model_copy(
            update={"epochs": EPOCHS, "batch_size": batch, "weights": "none", "warmup_epochs": 0.0}
        )
        canvas, marks = config.detector.canvas, list[float]()
        detector = Detector(config.with_classes(train.num_classes).detector).to(device)

        def note(epochs: int, losses: dict[str, float]) -> None:
            marks.append(time.perf_counter())

        with threads(int(cores or os.cpu_count() or 1)):
            workers = workers_for(device)
            loader = TrainingLoader(few, recipe, canvas, config.seed, workers, device=device)
            fit(detector, loader, recipe, on_epoch=note)
        # Other work can only make an epoch slower.
        fastest = min(after - before for before, after in itertools.pairwise(marks))
        return fastest / (len(loader) * loader.batch_size)

    return seconds_per_image


def _some(train: Dataset, count: int) -> Dataset:
    """Images that are evenly spread over the split."""
    images = train.images[:: max(1, len(train.images) // count)][:count]
    return dataclasses.replace(train, images=images)
