"""A run of the training loop, as a stage of a trial has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compress import distillation_term, sparsity_term
from detectors.detector import Detector
from detectors.training.train import OnEpoch as EpochEnds
from detectors.training.train import Term
from launch.trial.teachers import fingerprint
from searchspace.distillation import Distillation, NoDistillation
from searchspace.training import TrainConfig

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

    name: str
    recipe: TrainConfig
    distillation: Distillation
    teacher: Detector | None
    sparsity: float = 0.0
    start: str | None = None
    before: int = 0

    def inputs(self) -> dict[str, Any]:
        """The inputs that determine its outcome; saved detectors count by content, not by path."""
        taught = self.distillation.cause("teacher")
        if self.teacher is not None:
            taught["teacher"] = fingerprint(self.teacher)
        recipe = self.recipe.cause("distillation")
        if self.start is not None:
            recipe["weights"] = self.start
        return {"recipe": recipe, "sparsity": self.sparsity, "distillation": taught}

    def terms(self, detector: Detector) -> list[Term]:
        terms = [sparsity_term(detector, self.sparsity)] if self.sparsity else []
        if self.teacher is not None and not isinstance(self.distillation, NoDistillation):
            terms.append(distillation_term(self.distillation, detector, self.teacher))
        return terms

    def reporting(self, on_epoch: OnEpoch | None) -> EpochEnds | None:
        """What the loop calls after each epoch, if anyone listens."""
        if on_epoch is None:
            return None
        return lambda epochs, losses: on_epoch(self.name, self.before + epochs, losses)


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
