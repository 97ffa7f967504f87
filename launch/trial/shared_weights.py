"""Shared weights as stages: one training of many designs, and a quick score for each of them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from compress import in_place, recalibrate
from detectors.data.loader import Batch
from detectors.describe import describe
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.training.shared_tensors import Design, SharedWeights
from detectors.training.shared_weights import Course, SharedRun, train_shared
from detectors.weights.published import State
from launch.files import CHECKPOINT, SCRATCH, SHARED_TENSORS
from launch.trial.data import TrialData
from launch.trial.initial_weights import fill, load_start
from launch.trial.meter import score
from launch.trial.run import pick_device
from launch.trial.shared_scores import SharedScore, SharedScores, SharedTask, SharedTensors
from launch.trial.store import Artefact, Store
from launch.trial.teachers import LoadTeacher, fingerprint, fingerprint_of_tensors, load_teacher
from launch.trial.training import training_loader
from searchspace.augmentation import MultiScale
from searchspace.config import own_code
from searchspace.detector import DetectorConfig
from searchspace.distillation import ChannelWise, NoDistillation
from searchspace.geometry import Canvas
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig

LESSON = ChannelWise(weight=1.0)
"""What the designs learn from the largest of their family."""

STATISTICS_BATCHES = 4
"""Training batches for the batch-norm statistics of a design."""


class Trained(BaseModel):
    """What a training took."""

    steps: int
    seconds: float


def run_shared(task: str, data: TrialData, stages: Path, load: LoadTeacher = load_teacher) -> str:
    """Do a `SharedTask`, or the rest of one that was interrupted; returns `SharedScores`. Both are
    JSON.

    Args:
        stages: folder of the artefacts.
        load: loads the saved detectors that configurations name.

    Raises:
        TrainingFailed: a loss or a gradient is not finite.
    """
    asked = SharedTask.model_validate_json(task)
    shared = SharedStages(asked, data, Store(stages), pick_device(asked.device), load)
    model, trained = shared.train()
    begun, scores = time.monotonic(), []
    for config in asked.designs:
        spent = time.monotonic() - begun
        if scores and asked.scoring is not None and spent > asked.scoring:
            break
        size = describe(config.detector)
        metrics = shared.score(model, config).model_copy(update={"classes": {}})
        scores.append(
            SharedScore(config=config, metrics=metrics, params=size.params, macs=size.macs)
        )
    return SharedScores(
        scores=tuple(scores),
        steps=trained.steps,
        drawn=len(asked.designs),
        training=trained.seconds,
        scoring=time.monotonic() - begun,
        tensors=SharedTensors(stage=model.folder.name, shapes=shared.weights(model).shapes),
    ).model_dump_json()


@dataclass
class SharedStages:
    """The stages of shared weights, as functions from artefacts to artefacts."""

    task: SharedTask
    data: TrialData
    store: Store
    device: torch.device
    load: LoadTeacher
    _read: dict[str, SharedWeights] = field(default_factory=dict)
    _batches: dict[Canvas, list[Batch]] = field(default_factory=dict)

    def train(self) -> tuple[Artefact, Trained]:
        """The trained weights, and what that took."""
        task, baseline = self.task, self.task.baseline.started()
        recipe = self._recipe(baseline)
        inputs: dict[str, Any] = {
            "designs": [design.detector.cause() for design in task.designs],
            "recipe": recipe.cause(),
            "lesson": LESSON.cause(),
            "course": (task.steps, task.seconds),
            "data": self.data.train.fingerprint,
            "seed": task.seed,
            "starts": sorted(self._starts()),
            "code": [code for design in task.designs if (code := own_code(design))],
        }
        file = "trained.json"

        def make(work: Path) -> None:
            torch.manual_seed(task.seed)
            shared = SharedWeights.of((d.detector for d in task.designs), self._build)
            shared = shared.to(self.device)
            designs = [Design(shared, d.detector, self.data.classes) for d in task.designs]
            largest = max(task.designs, key=lambda d: math.prod(d.detector.size))
            loader = training_loader(largest, self.data, recipe, self.device)
            course = Course(task.steps, task.seconds)
            run = SharedRun(shared, designs, loader, recipe, course, in_place(LESSON), task.seed)
            train_shared(run, work / SCRATCH / CHECKPOINT)
            shared.save(work / SHARED_TENSORS)
            found = Trained(steps=run.steps, seconds=run.seconds)
            (work / file).write_text(found.model_dump_json(), encoding="utf-8")

        model = self.store.once("shared", inputs, make)
        text = (model.folder / file).read_text(encoding="utf-8")
        return model, Trained.model_validate_json(text)

    def score(self, model: Artefact, config: TrialConfig) -> Metrics:
        """COCO's metrics of an unpruned design on the validation split, in PyTorch."""
        config, data = config.with_detections(self.data.detections), self.data
        most, engine = config.measure.max_detections, config.measure.metrics
        inputs = {
            "input": model.key,
            "detector": config.detector.cause(),
            "data": data.val.fingerprint,
            "scored": (most, engine),
        }

        def make() -> Metrics:
            detector = self.detector(model, config)
            return score(detector, data.val, self.device, most, engine, False, data.cache)

        return self.store.record("shared_score", inputs, Metrics, make)[0]

    def detector(self, model: Artefact, config: TrialConfig) -> Detector:
        """A design with its slices of the trained weights, and batch statistics of its own."""
        detector = self.weights(model).detector(config.detector, self.data.classes)
        return recalibrate(detector.to(self.device), self.statistics(config)).eval()

    def weights(self, model: Artefact) -> SharedWeights:
        """The trained weights, read once."""
        if model.key not in self._read:
            self._read[model.key] = SharedWeights.load(model.folder / SHARED_TENSORS)
        return self._read[model.key]

    def statistics(self, config: TrialConfig) -> Iterator[Batch]:
        """The first training batches on a design's input, which all designs with it share."""
        canvas = config.detector.canvas
        if canvas not in self._batches:
            recipe = self._recipe(self.task.baseline.started())
            loader = training_loader(config, self.data, recipe, self.device)
            self._batches[canvas] = list(itertools.islice(loader.epoch(0), STATISTICS_BATCHES))
        return iter(self._batches[canvas])

    def _recipe(self, baseline: TrialConfig) -> TrainConfig:
        """The recipe of the baseline for as many steps; the designs have sizes of their own."""
        images = len(self.data.train.images)
        train = baseline.train
        epochs = math.ceil(self.task.steps / max(1, images // min(train.batch_size, images)))
        plain = {"multi_scale": MultiScale(), "accumulate": 1, "distillation": NoDistillation()}
        return train.lasting(epochs).changed(**plain)

    def _build(self, config: DetectorConfig) -> Detector:
        """A detector with the initial weights of the design that it is."""
        design = next(d for d in self.task.designs if d.detector == config)
        recipe = design.started().train
        saved = None if recipe.start is None else load_start(recipe.start, self.load)
        detector = Detector(config, self.data.classes)
        fill(detector, recipe, self.task.weights, None, saved)
        return detector

    def _starts(self) -> set[str]:
        """What the designs start from; saved detectors count by content, not by path."""
        recipes = (design.started().train for design in self.task.designs)
        starts = {recipe.start or recipe.weights: recipe.start for recipe in recipes}
        return {
            name if start is None else _content(load_start(start, self.load))
            for name, start in starts.items()
        }


def _content(saved: Detector | State) -> str:
    is_detector = isinstance(saved, Detector)
    return fingerprint(saved) if is_detector else fingerprint_of_tensors(saved)
