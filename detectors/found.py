"""What a detector finds on one image, in the form in which people go on with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from supervision import Detections

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Found:
    """The objects found on an image, best first.

    Attributes:
        boxes: float32 [M, 4], xyxy in pixels of the image.
        scores: float32 [M].
        labels: int64 [M], from 0.
        classes: the M names of the classes.
    """

    boxes: Array
    scores: Array
    labels: Array
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[str, float, tuple[float, ...]]]:
        """Class, score and box of each object."""
        return zip(self.classes, self.scores.tolist(), map(tuple, self.boxes.tolist()), strict=True)


def found_in(detections: dict[str, Tensor], names: Sequence[str]) -> Found | Detections:
    """The detections of one image (`Model.detect`), as `supervision.Detections` if that is
    installed.

    Args:
        names: of all classes, label 1 first.
    """
    labels = detections["labels"].numpy() - 1
    found = Found(
        detections["boxes"].numpy(),
        detections["scores"].numpy(),
        labels,
        tuple(names[label] for label in labels),
    )
    return _of_supervision(found) if find_spec("supervision") else found


def _of_supervision(found: Found) -> Detections:
    from supervision import Detections  # with OpenCV, which loads for a second

    return Detections(
        xyxy=found.boxes,
        confidence=found.scores,
        class_id=found.labels,
        data={"class_name": np.array(found.classes, dtype=str)},
    )
