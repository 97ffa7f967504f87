"""The least score of a shown detection, class by class, as stored beside a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from detectors.files import write_atomically
from searchspace.errors import InputError
from searchspace.reading import read_model

FILE = "thresholds.json"
"""In the folder of a saved detector; beside an exported file, its name comes first."""

Rule = Literal["f1", "precision"]


class Threshold(BaseModel):
    """The threshold of a class, and what it gives on the images that it was chosen on, at IoU 0.5.

    Attributes:
        score: detections of this score or more are shown; None where no score is good enough.
        precision, recall, f1: at this score; None where it is, or without objects.
    """

    model_config = ConfigDict(frozen=True)

    score: float | None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


class Thresholds(BaseModel):
    """The thresholds of a model.

    Attributes:
        rule: `f1` for the best F1 of each class, `precision` for the smallest score that reaches
            `least_precision`.
        images: number of images that they were chosen on.
        classes: by name of the class, in the order of labels.
    """

    model_config = ConfigDict(frozen=True)

    rule: Rule
    least_precision: float | None = Field(default=None, gt=0, le=1)
    images: int
    classes: dict[str, Threshold]

    def scores(self) -> Tensor:
        """[K], the least score by label - 1; infinite for a class without a threshold."""
        known = [found.score for found in self.classes.values()]
        return torch.tensor(
            [math.inf if score is None else score for score in known], dtype=torch.float64
        )

    def __str__(self) -> str:
        how = "best F1" if self.rule == "f1" else f"precision {self.least_precision:g}"
        return f"{how} of each class on {self.images} images"


def thresholds_file(model: Path) -> Path:
    """Where the thresholds of a saved detector's folder or of an exported file are kept."""
    return model / FILE if model.is_dir() else model.with_name(f"{model.stem}.{FILE}")


def write_thresholds(model: Path, thresholds: Thresholds) -> Path:
    """Keep thresholds beside a model; returns their file."""
    file = thresholds_file(model)
    write_atomically(file, thresholds.model_dump_json(indent=1))
    return file


def read_thresholds(model: Path, classes: Sequence[str]) -> Thresholds | None:
    """The thresholds beside a model; None if none were chosen.

    Args:
        classes: those of the model.

    Raises:
        InputError: the file is damaged, or is of other classes.
    """
    file = thresholds_file(model)
    if not file.exists():
        return None
    found = read_model(file, Thresholds, "choose them again with sparrow eval, or delete the file")
    if tuple(found.classes) != tuple(classes):
        raise InputError(
            f"{file}: thresholds of the classes {', '.join(found.classes)}, but the model has "
            f"{', '.join(classes)}; choose them again with sparrow eval, or delete the file"
        )
    return found
