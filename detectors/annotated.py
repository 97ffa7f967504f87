"""Some annotated images in memory, on which forms of a detector are compared by AP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from detectors.data.dataset import Dataset, spread
from detectors.data.loader import evaluation_batches
from detectors.evaluate import results_of
from detectors.evaluation.coco import ENGINES
from detectors.evaluation.results import Results
from detectors.evaluation.truth import detections_needed
from detectors.postprocess import Detections
from detectors.runtimes.contract import Run
from detectors.runtimes.exported import Finish
from searchspace.geometry import Canvas

Detect = Callable[[Tensor], Detections]

BATCH = 16


@dataclass(frozen=True, eq=False)
class Annotated:
    """Annotated images.

    Attributes:
        split: their records and annotations.
        canvas: how they are placed on the input.
        images: uint8 [M, 3, H, W], placed on it.
    """

    split: Dataset
    canvas: Canvas
    images: Tensor

    @classmethod
    def of(cls, split: Dataset, canvas: Canvas, most: int) -> Self:
        """Up to `most` images of a split, spread evenly over it."""
        chosen = {image.id for image in spread(split.images, most)}
        part = split.without({image.id for image in split.images} - chosen)
        _, images = next(evaluation_batches(part, canvas, len(chosen)))
        return cls(part, canvas, images)

    @property
    def floats(self) -> Tensor:
        """The images in 0..1."""
        return self.images.float() / 255

    def ap(self, detect: Detect, places: Sequence[int] | None = None) -> float | None:
        """COCO's AP; None if there are no objects.

        Args:
            places: of the images that count; all by default.
        """
        chosen = list(range(len(self.images)) if places is None else places)
        records, split = [self.split.images[place] for place in chosen], self.split
        if places is not None:
            kept = {record.id for record in records}
            split = split.without({image.id for image in split.images} - kept)
        ids = np.array([0, *(category.id for category in split.categories)], dtype=np.int64)
        parts = []
        for start in range(0, len(chosen), BATCH):
            batch = self.images[chosen[start : start + BATCH]].float() / 255
            found = detect(batch)
            for index, record in enumerate(records[start : start + BATCH]):
                one = found.of_image(index, record.width, record.height, self.canvas)
                parts.append(results_of(one, record.id, ids))
        tables = ENGINES["hotcoco"](split, Results.joined(parts), detections_needed(split))
        return tables.ap()


@dataclass(frozen=True, eq=False)
class ApFigure:
    """AP on annotated images, as a `detectors.runtimes.contract.Figure`."""

    annotated: Annotated
    finish: Finish

    @property
    def count(self) -> int:
        return len(self.annotated.images)

    @torch.inference_mode()
    def __call__(self, run: Run, places: Sequence[int]) -> float:
        """Images without objects count as 0 for every detector."""
        return self.annotated.ap(lambda batch: self.finish(run(batch)), places) or 0.0
