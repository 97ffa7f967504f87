"""A run of the training loop, as a stage of a trial has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from compress import distillation_term, sparsity_term
from detectors.data.bound import training_form
from detectors.data.loader import TrainingLoader, workers_for
from detectors.data.pixels import MEMORY_BYTES, Form
from detectors.detector import Detector
from detectors.training.run import rate_factor
from detectors.training.train import OnEpoch as EpochEnds
from detectors.training.train import Term
from launch.trial.data import TrialData
from launch.trial.progress import Part, Progress
from launch.trial.teachers import fingerprint
from searchspace.distillation import Distillation, NoDistillation
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig

WARMUP_SHARE = 0.1
"""The largest share of the warm-up in a fine-tuning."""

OnEpoch = Callable[[str, int, dict[str, float]], None]
"""Called after each epoch with the detector (`dense` or `compact`), finished epochs, mean
losses."""


@dataclass(frozen=True)
class Training:
    """One run of the training loop.

    Attributes:
        name: `dense` or `compact`.
        teacher: the teacher named by `distillation`.
        sparsity: strength of the sparsity term; 0 for none.
        start: fingerprint of the saved detector that the recipe starts from, if any.
        before: epochs of earlier rounds that count towards the same detector.
    """

    name: Part
    recipe: TrainConfig
    distillation: Distillation
    teacher: Detector | None
    sparsity: float = 0.0
    start: str | None = None
    before: int = 0

    def inputs(self) -> dict[str, Any]:
        """The inputs that determine its outcome; saved detectors count by content, not by path.

        Whether steps are compiled does not change it but for rounding.
        """
        taught = self.distillation.cause("teacher")
        if self.teacher is not None:
            taught["teacher"] = fingerprint(self.teacher)
        recipe = self.recipe.cause("distillation", "compile")
        if self.start is not None:
            recipe["weights"] = self.start
        return {"recipe": recipe, "sparsity": self.sparsity, "distillation": taught}

    def terms(self, detector: Detector) -> list[Term]:
        terms = [sparsity_term(detector, self.sparsity)] if self.sparsity else []
        if self.teacher is not None and not isinstance(self.distillation, NoDistillation):
            terms.append(distillation_term(self.distillation, detector, self.teacher))
        return terms

    def reporting(
        self, progress: Progress, on_epoch: OnEpoch | None, loader: TrainingLoader
    ) -> EpochEnds:
        """What the loop calls after each epoch."""
        steps, recipe = len(loader), self.recipe

        def ended(epoch: int, losses: dict[str, float]) -> None:
            last, total = epoch * steps - 1, recipe.epochs * steps
            factor = rate_factor(last, total, recipe.warmup(steps), recipe.schedule)
            done, rate = self.before + epoch, recipe.learning_rate * factor
            progress.trained(self.name, done, losses, rate, steps * loader.batch_size)
            if on_epoch:
                on_epoch(self.name, done, losses)

        return ended


def fine_tuning(recipe: TrainConfig, rate: float, epochs: int) -> TrainConfig:
    """The recipe of a fine-tuning, at a factor on the rate; it starts from a trained network."""
    return recipe.model_copy(
        update={
            "epochs": epochs,
            "learning_rate": recipe.learning_rate * rate,
            "warmup_epochs": min(recipe.warmup_epochs, WARMUP_SHARE * epochs),
            "warmup_steps": None,
        }
    )


def stored_form(config: TrialConfig, data: TrialData) -> Form:
    """The size at which a trial's training images are kept."""
    return training_form(data.train.images, config.train, config.detector.canvas)


def training_loader(
    config: TrialConfig, data: TrialData, recipe: TrainConfig, device: torch.device
) -> TrainingLoader:
    """The batches of one of a trial's trainings, by its recipe."""
    workers, canvas = workers_for(device), config.detector.canvas
    memory = MEMORY_BYTES // max(1, workers)
    pixels = data.cache.pixels(data.train, stored_form(config, data), memory)
    return TrainingLoader(data.train, recipe, canvas, config.seed, workers, pixels, device)
