"""Whether two forms of a detector find the same objects, e.g. before and after quantisation."""

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
"""The least score of a detection that counts: about where an application would show it."""

IOU = 0.5
"""The least IoU of two boxes of the same object, as for AP50."""

LEAST = 0.8
"""The least agreement that rounding explains; below it, the forms find different objects."""


class Agreement(BaseModel):
    """Comparison of the detections of two forms of a detector on the same images.

    Attributes:
        images: number of images.
        score: the least score of the detections that count.
        before, after: number of detections of the first and the second form.
        matched: number of equal ones: the same class, IoU of `IOU` or more.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    score: float
    before: int
    after: int
    matched: int

    @property
    def share(self) -> float | None:
        """Matched detections as a share of the larger number; None if neither finds anything."""
        most = max(self.before, self.after)
        return self.matched / most if most else None

    @property
    def poor(self) -> bool:
        """Whether the forms find different objects, or nothing was found to compare."""
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
    """Compare the detections of two forms of a detector.

    Detections with a score of `SCORE` or more count. If the first form's highest score is below
    twice that, as for a hardly trained detector, half its highest score is the limit instead.

    Args:
        images: [M, 3, H, W] in 0..1, of the detector's input size.
    """
    pairs = [(first.detect(image[None]), second.detect(image[None])) for image in images]
    highest = max(float(found.scores.max()) for found, _ in pairs)
    score = min(SCORE, highest / 2)
    before, after, matched = _sums(_compared(a, b, score) for a, b in pairs)
    return Agreement(images=len(images), score=score, before=before, after=after, matched=matched)


def _compared(first: Detections, second: Detections, score: float) -> tuple[int, int, int]:
    """For one image: the number of detections that count of either form, and of the matches."""
    (boxes, labels), (others, theirs) = (_counting(found, score) for found in (first, second))
    overlap = batched_iou(boxes, others) * (labels[:, None] == theirs)
    matched = 0
    # Best first, each is matched with the free box that overlaps it most.
    for row in range(len(boxes)):
        if len(others) and overlap[row].max() >= IOU:
            overlap[:, overlap[row].argmax()] = 0
            matched += 1
    return len(boxes), len(others), matched


def _counting(found: Detections, score: float) -> tuple[Tensor, Tensor]:
    """Boxes and labels of one image, without boxes of zero area at the border."""
    boxes, labels = found.boxes[0], found.labels[0]
    real = (labels > 0) & (found.scores[0] >= score) & (boxes[:, 2:] > boxes[:, :2]).all(-1)
    return boxes[real], labels[real]


def _sums(rows: Iterable[tuple[int, int, int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))
