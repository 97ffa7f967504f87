"""Some annotated images in memory, on which forms of a detector are compared by AP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from detectors.tiling import BATCH, Look, looks_at, planned
from searchspace.geometry import Canvas

Detect = Callable[[Tensor], Detections]


@dataclass(frozen=True, eq=False)
class Annotated:
    """Annotated images.

    Attributes:
        split: their records and annotations.
        canvas: how they are placed on the input.
        looks: the inputs for all images.
        images: uint8 [M, 3, H, W], the inputs.
    """

    split: Dataset
    canvas: Canvas
    looks: tuple[Look, ...]
    images: Tensor

    @classmethod
    def of(cls, split: Dataset, canvas: Canvas, most: int) -> Self:
        """Up to `most` images of a split, spread evenly over it."""
        chosen = {image.id for image in spread(split.images, most)}
        part = split.without({image.id for image in split.images} - chosen)
        looks = looks_at(part.sizes, canvas)
        _, images = next(evaluation_batches(part, canvas, len(looks), looks=looks))
        return cls(part, canvas, tuple(looks), images)

    @property
    def floats(self) -> Tensor:
        """The inputs in 0..1."""
        return self.images.float() / 255

    def ap(self, detect: Detect, places: Sequence[int] | None = None) -> float | None:
        """COCO's AP; None if there are no objects.

        Args:
            places: of the images that count; all by default.
        """
        split = self.split
        chosen = range(len(split.images)) if places is None else sorted(places)
        if places is not None:
            kept = {split.images[place].id for place in places}
            split = split.without({image.id for image in split.images} - kept)
        places_of = {look: k for k, look in enumerate(self.looks)}

        def run(canvas: Canvas, looks: Sequence[Look]) -> Iterator[Detections]:
            rows = [places_of[look._replace(image=chosen[look.image])] for look in looks]
            for start in range(0, len(rows), BATCH):
                yield detect(self.images[rows[start : start + BATCH]].float() / 255)

        ids = np.array([0, *(category.id for category in split.categories)], dtype=np.int64)
        in_images = planned(run, split.sizes, self.canvas).found(run)
        pairs = zip(split.images, in_images, strict=True)
        parts = [results_of(one, record.id, ids) for record, one in pairs]
        tables = ENGINES["hotcoco"](split, Results.joined(parts), detections_needed(split))
        return tables.ap()


@dataclass(frozen=True, eq=False)
class ApFigure:
    """AP on annotated images, as a `detectors.runtimes.contract.Figure`."""

    annotated: Annotated
    finish: Finish

    @property
    def count(self) -> int:
        return len(self.annotated.split.images)

    @torch.inference_mode()
    def __call__(self, run: Run, places: Sequence[int]) -> float:
        """Images without objects count as 0 for every detector."""
        return self.annotated.ap(lambda batch: self.finish(run(batch)), places) or 0.0
