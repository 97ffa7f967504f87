"""Pascal VOC's average precision, as its development kit computes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.data.dataset import Dataset
from detectors.overlaps import Group, groups

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


def voc_precisions(split: Dataset, results: Sequence[dict[str, Any]]) -> dict[int, VocPrecision]:
    """Average precision by category id (Everingham et al., The Pascal VOC Challenge, 2010, 4.2).

    A detection belongs to the object of its class that it overlaps most. It is right if their IoU
    is 0.5 or more and no detection of higher score has the object; if the object is difficult, it
    does not count. Neither does one that lies in an ignore region by half or more of its area,
    which VOC does not have. The development kit adds a pixel to each side, as its corners are the
    first and the last pixel; boxes here end where the last pixel ends, which is the same.

    Args:
        results: detections in COCO's form; the 200 best of each image count.
    """
    objects: dict[int, int] = dict.fromkeys((category.id for category in split.categories), 0)
    scores, right = defaultdict(list), defaultdict(list)
    for group in groups(split, results, MOST):
        objects[group.category] += sum(item.scored for item in group.objects)
        counted, correct = _judged(group)
        scores[group.category].append(group.scores[counted])
        right[group.category].append(correct[counted])
    return {
        category: _precision(scores[category], right[category], count)
        for category, count in objects.items()
    }


def mean_precision(precisions: Sequence[VocPrecision]) -> VocPrecision:
    """The mean over the classes that have objects."""
    areas = [found.area for found in precisions if found.area is not None]
    points = [found.points for found in precisions if found.points is not None]
    if not areas:
        return VocPrecision(None, None)
    return VocPrecision(float(np.mean(areas)), float(np.mean(points)))


def _judged(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """[D], which detections count, and [D], which are right."""
    right = np.zeros(len(group.scores), dtype=bool)
    if not group.objects:
        return group.covered < LEAST_IOU, right
    best = group.overlaps.argmax(1)
    hit = group.overlaps.max(1) >= LEAST_IOU
    scored = np.array([item.scored for item in group.objects])[best]
    first = hit & scored
    right[np.flatnonzero(first)[np.unique(best[first], return_index=True)[1]]] = True
    return np.where(hit, scored, group.covered < LEAST_IOU), right


def _precision(scores: list[np.ndarray], right: list[np.ndarray], objects: int) -> VocPrecision:
    """From the detections of all images and the number of objects."""
    if not objects:
        return VocPrecision(None, None)
    if not sum(map(len, scores)):
        return VocPrecision(0.0, 0.0)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    found = np.concatenate(right)[order].cumsum()
    precision = found / np.arange(1, 1 + len(found))
    # The best precision at this recall or a higher one.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(found, prepend=0) / objects
    # Whole numbers: 0.1 has no exact value, and a recall of 3 in 10 reaches 0.3.
    starts = [np.searchsorted(10 * found, tenth * objects) for tenth in range(11)]
    points = [precision[start] if start < len(found) else 0.0 for start in starts]
    return VocPrecision(float((precision * steps).sum()), float(np.mean(points)))
