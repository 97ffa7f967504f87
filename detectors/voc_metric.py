"""Pascal VOC's average precision, as its development kit computes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.data.dataset import Dataset
from detectors.evaluation.results import Row
from detectors.overlaps import Found, found_on_images

MOST = 200
"""Detections of an image that count (SSD, section 3.1)."""

LEAST_IOU = 0.5


@dataclass(frozen=True)
class VocPrecision:
    """Average precision of a class as a fraction, or its mean over classes; None without objects.

    Attributes:
        area: the area under the curve of precision against recall (from 2010 on).
        points: the mean precision at 11 recalls (2007).
    """

    area: float | None
    points: float | None


def voc_precisions(
    split: Dataset, results: Sequence[Row], most: int = MOST
) -> dict[int, VocPrecision]:
    """Average precision by category id (Everingham et al., The Pascal VOC Challenge, 2010, 4.2).

    A detection belongs to the object of its class that it overlaps most. It is right if their IoU
    is 0.5 or more and no detection of higher score has the object; if the object is difficult, it
    does not count. Neither does one that lies in an ignore region by half or more of its area,
    which VOC does not have. The development kit adds a pixel to each side, as its corners are the
    first and the last pixel; boxes here end where the last pixel ends, which is the same.

    Args:
        results: detections in COCO's form.
        most: the best of each image that count.
    """
    objects: Counter[int | None] = Counter()
    kept = []
    for found in found_on_images(split, results, most):
        objects.update(item.category_id for item in found.objects if item.scored)
        counted, right = _judged(found)
        kept.append(np.stack((found.categories, found.scores, right), 1)[counted])
    judged = np.concatenate(kept) if kept else np.zeros((0, 3))
    judged = judged[np.argsort(-judged[:, 1], kind="stable")]
    return {
        category.id: _precision(judged[judged[:, 0] == category.id, 2], objects[category.id])
        for category in split.categories
    }


def mean_precision(precisions: Sequence[VocPrecision]) -> VocPrecision:
    """The mean over the classes that have objects."""
    areas = [found.area for found in precisions if found.area is not None]
    points = [found.points for found in precisions if found.points is not None]
    if not areas:
        return VocPrecision(None, None)
    return VocPrecision(float(np.mean(areas)), float(np.mean(points)))


def _judged(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """[D], which detections count, and [D], which are right."""
    right = np.zeros(len(found.scores), dtype=bool)
    if not found.objects:
        return found.covered < LEAST_IOU, right
    best = found.overlaps.argmax(1)
    hit = found.overlaps.max(1) >= LEAST_IOU
    scored = np.array([item.scored for item in found.objects])[best]
    first = hit & scored
    right[np.flatnonzero(first)[np.unique(best[first], return_index=True)[1]]] = True
    return np.where(hit, scored, found.covered < LEAST_IOU), right


def _precision(right: np.ndarray, objects: int) -> VocPrecision:
    """From the detections of a class that count, best first, and the number of objects.

    Args:
        right: [M], 1 for those that are right, else 0.
    """
    if not objects:
        return VocPrecision(None, None)
    if not len(right):
        return VocPrecision(0.0, 0.0)
    found = right.astype(int).cumsum()
    precision = found / np.arange(1, 1 + len(found))
    # The best precision at this recall or a higher one.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(found, prepend=0) / objects
    # Whole numbers: 0.1 has no exact value, and a recall of 3 in 10 reaches 0.3.
    starts = [np.searchsorted(10 * found, tenth * objects) for tenth in range(11)]
    points = [precision[start] if start < len(found) else 0.0 for start in starts]
    return VocPrecision(float((precision * steps).sum()), float(np.mean(points)))
