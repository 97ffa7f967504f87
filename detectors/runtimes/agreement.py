"""Whether two forms of a detector find the same objects, such as before and after quantisation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from detectors.boxes import batched_iou
from detectors.detector import Detector
from detectors.postprocess import Detections
from detectors.runtimes import Deployed

SCORE = 0.3
"""The score from which on a detection counts: about where an application would show it."""

IOU = 0.5
"""The least overlap at which two boxes are of one object, as for AP50."""

LEAST = 0.8
"""The least agreement that is taken for rounding: below, one of the forms finds other things."""


class Agreement(BaseModel):
    """Detections of one form of a detector against those of another, on the same images.

    Attributes:
        images: how many they were.
        score: the score from which on detections count.
        before, after: how many the first form finds, and the second.
        matched: how many of these are the same: class equal, IoU of `IOU` or more.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    score: float
    before: int
    after: int
    matched: int

    @property
    def share(self) -> float | None:
        """The matched share of what the form that finds more finds; None where neither does."""
        most = max(self.before, self.after)
        return self.matched / most if most else None

    @property
    def poor(self) -> bool:
        """Whether the two find other things, or nothing was found by which to tell."""
        return self.share is None or self.share < LEAST

    def __str__(self) -> str:
        found = f"{self.before} detections before, {self.after} after, {self.matched} matched"
        share = "" if self.share is None else f" ({100 * self.share:.0f} %)"
        return f"{found}{share}, at scores of {self.score:.2g} or more in {count(self.images)}"


def count(images: int) -> str:
    """`1 image`, `24 images`."""
    return f"{images} image{'' if images == 1 else 's'}"


@torch.inference_mode()
def agreement(first: Detector | Deployed, second: Detector | Deployed, images: Tensor) -> Agreement:
    """Compare what two forms of a detector find.

    Detections count from a score of `SCORE` on; where the first form is nowhere twice as sure as
    that, as a detector that was hardly trained, from half its highest score on.

    Args:
        images: [M, 3, H, W] in 0..1, of the detector's input size.
    """
    pairs = [(first.detect(image[None]), second.detect(image[None])) for image in images]
    highest = max(float(found.scores.max()) for found, _ in pairs)
    score = min(SCORE, highest / 2)
    before, after, matched = _sums(_compared(a, b, score) for a, b in pairs)
    return Agreement(images=len(images), score=score, before=before, after=after, matched=matched)


def _compared(first: Detections, second: Detections, score: float) -> tuple[int, int, int]:
    """Of one image: how many count of either, and how many of these match."""
    (boxes, labels), (others, theirs) = (_counting(found, score) for found in (first, second))
    overlap = batched_iou(boxes, others) * (labels[:, None] == theirs)
    matched = 0
    # Best first, each takes the free box that overlaps it most.
    for row in range(len(boxes)):
        if len(others) and overlap[row].max() >= IOU:
            overlap[:, overlap[row].argmax()] = 0
            matched += 1
    return len(boxes), len(others), matched


def _counting(found: Detections, score: float) -> tuple[Tensor, Tensor]:
    """Boxes and labels of one image; a box of no area, cut off by the border, is of no object."""
    boxes, labels = found.boxes[0], found.labels[0]
    real = (labels > 0) & (found.scores[0] >= score) & (boxes[:, 2:] > boxes[:, :2]).all(-1)
    return boxes[real], labels[real]


def _sums(rows: Iterable[tuple[int, int, int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))
