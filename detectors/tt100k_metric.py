"""TT100K's recall and accuracy by the size of signs, as its toolkit computes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from detectors.data.dataset import Dataset
from detectors.evaluation.results import Results, Row
from detectors.overlaps import Found, found_on_images

SIZES = {"0-32": (0.0, 32.0), "32-96": (32.0, 96.0), "96-400": (96.0, 400.0)}
"""By name, bounds of the longer side of a box in pixels, the upper one excluded."""

IOU = 0.5
LEAST_SCORE = 0.5
"""Detections of a lower score do not count. The benchmark's paper draws curves over all scores; the
threshold is ours."""


class SizeMetrics(BaseModel):
    """Of objects of one size: the share that is found, and the share of detections that are right;
    None without any."""

    model_config = ConfigDict(frozen=True)

    recall: float | None
    accuracy: float | None


def by_size(
    split: Dataset, results: Sequence[Row], least_score: float = LEAST_SCORE
) -> dict[str, SizeMetrics]:
    """Recall and accuracy by size (Zhu et al., Traffic-Sign Detection in the Wild, 2016, 5).

    Detections and objects of a class are paired by descending IoU, if it is above 0.5. A pair has
    the size of its object, a detection without an object its own. Difficult objects, their
    detections and what lies in ignore regions do not count.

    Args:
        results: detections in COCO's form.
    """
    counts: Counter[tuple[str, str]] = Counter()
    found_by_all = Results.of(results)
    sure = found_by_all.at(found_by_all.scores >= least_score)
    for found in found_on_images(split, sure):
        counts.update(_counted(found))
    return {
        name: SizeMetrics(
            recall=_share(counts[name, "right"], counts[name, "missed"]),
            accuracy=_share(counts[name, "right"], counts[name, "wrong"]),
        )
        for name in SIZES
    }


def _counted(found: Found) -> Iterator[tuple[str, str]]:
    """Size and kind (`right`, `missed` or `wrong`) of each object and each lone detection."""
    pairs = _pairs(found.overlaps)
    for place, item in enumerate(found.objects):
        x1, y1, x2, y2 = item.box
        if item.scored:
            yield _size(max(x2 - x1, y2 - y1)), "right" if place in pairs.values() else "missed"
    for place, box in enumerate(found.boxes):
        if place not in pairs and found.covered[place] < IOU:
            yield _size(max(box[2:])), "wrong"


def _pairs(overlaps: np.ndarray) -> dict[int, int]:
    """The object of each detection that has one, by descending IoU."""
    detections, objects = np.nonzero(overlaps > IOU)
    order = np.argsort(-overlaps[detections, objects], kind="stable")
    pairs: dict[int, int] = {}
    for detection, item in zip(detections[order].tolist(), objects[order].tolist(), strict=True):
        if detection not in pairs and item not in pairs.values():
            pairs[detection] = item
    return pairs


def _size(side: float) -> str:
    """The name of a size; empty for a longer side."""
    return next((name for name, (low, high) in SIZES.items() if low <= side < high), "")


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
