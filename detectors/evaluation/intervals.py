"""Intervals of average precision, by a bootstrap over images.

A split is one of many that could have been taken. Drawing as many images from it with replacement,
1,000 times, shows how far a figure depends on which images there are. The matches of detections do
not change by that: each image only counts as often as it was drawn.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from detectors.evaluation.matches import IOUS, Matches

DRAWS = 1000
SEED = 0
LEVEL = 0.95
"""Share of the draws that lie in an interval."""

RECALLS = np.linspace(0.0, 1.0, 101)
UNDEFINED, STEPS = 2**16 - 1, 50_000
"""How draws are stored: as whole numbers of steps from 0 to 1."""

CHUNK = 4_000_000
"""Numbers in an array of detections and draws."""


class Interval(BaseModel):
    """The 95 % interval of a figure over the images that a split might have had.

    Attributes:
        low, high: its ends.
        draws: the figure on each of the draws of images, which are the same for all detectors that
            are scored on a split; see `values`.
    """

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    draws: str

    @property
    def values(self) -> np.ndarray:
        """[1000], rounded to 0.00002; NaN for draws without such objects."""
        steps = np.frombuffer(base64.b64decode(self.draws), dtype="<u2")
        return np.where(steps == UNDEFINED, np.nan, steps / STEPS)

    @classmethod
    def of(cls, values: np.ndarray) -> Interval | None:
        """Of a figure on each draw, NaN where undefined; None where that is so on all of them."""
        known = values[~np.isnan(values)]
        if not known.size:
            return None
        low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        steps = np.where(np.isnan(values), UNDEFINED, np.round(np.nan_to_num(values) * STEPS))
        text = base64.b64encode(steps.astype("<u2").tobytes()).decode()
        return cls(low=float(low), high=float(high), draws=text)

    def differs(self, other: Interval) -> bool | None:
        """Whether two detectors, scored on the same split, differ: the 95 % interval of the
        difference on the same draws does not contain 0. None if the draws are not comparable."""
        mine, others = self.values, other.values
        if mine.shape != others.shape:
            return None
        change = (mine - others)[~np.isnan(mine - others)]
        if not change.size:
            return None
        low, high = np.quantile(change, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return bool(low > 0 or high < 0)


@cache
def drawn(images: int, draws: int = DRAWS) -> np.ndarray:
    """[images, draws], how often each image is drawn: the same for all detectors."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(images, np.full(images, 1 / images), draws).T.astype(np.int32)


def precisions(found: Matches, weights: np.ndarray) -> np.ndarray:
    """[B], COCO's average precision on B lists of images; NaN for lists without objects.

    Exactly what COCO's evaluation gives on a list, with its copies of an image next to each other.
    Only where detections of one image and class have the same score, their copies are ordered
    detection by detection instead of image by image.

    Args:
        weights: [I images, B], how often a list has each image.
    """
    labels = np.flatnonzero(found.objects.any(1))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        parts = list(pool.map(partial(_of_class, found, weights), labels))
    total, classes = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    for ap, defined in parts:
        total += ap
        classes += defined
    return np.divide(total, classes, out=np.full_like(total, np.nan), where=classes > 0)


def _of_class(found: Matches, weights: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """[B], average precision of a class, and whether a list has objects of it."""
    mine = np.flatnonzero(found.labels == label)
    right, counted, images = found.right[:, mine], found.counted[:, mine], found.images[mine]
    objects = found.objects[label]
    used = np.flatnonzero(right.any(0))
    last = used[-1] + 1 if used.size else 0
    right, counted, images = right[:, :last], counted[:, :last], images[:last]
    size = max(1, CHUNK // max(1, last))
    parts = [
        _chunk(right, counted, weights[:, start : start + size][images], _sums(objects, part))
        for start in range(0, weights.shape[1], size)
        for part in [weights[:, start : start + size]]
    ]
    return np.concatenate(parts), _sums(objects, weights) > 0


def _sums(objects: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B], the number of objects on each list."""
    there = np.flatnonzero(objects)
    return objects[there].astype(np.int64) @ weights[there]


def _chunk(
    right: np.ndarray, counted: np.ndarray, weights: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """[B], average precision over IoUs and recalls; 0 where there are no objects.

    Only at a right detection can recall reach a further step, and precision be the best from there
    on, so all else is summed up between those.

    Args:
        right, counted: [10, D], the last detection is right at some IoU.
        weights: [D, B], how often each detection's image is on a list.
        objects: [B].
    """
    total = np.zeros(weights.shape[1])
    if not weights.shape[0]:
        return total
    always = np.asarray(counted.all(0))
    points = np.flatnonzero(right.any(0))
    starts = np.concatenate(([0], points[:-1] + 1))
    until = np.add.reduceat(weights * always[:, None], starts, axis=0)
    until = until.cumsum(0, dtype=np.int32)
    varying = np.flatnonzero(~always)
    for level in range(len(IOUS)):
        here = np.flatnonzero(right[level, points])
        if not here.size:
            continue
        hits = weights[points[here]].cumsum(0, dtype=np.int32)
        more = varying[counted[level, varying]]
        sums = np.zeros((1 + len(more), weights.shape[1]), dtype=np.int32)
        np.cumsum(weights[more], axis=0, out=sums[1:])
        counts = until[here] + sums[np.searchsorted(more, points[here], side="right")]
        total += _area(hits, counts, np.maximum(objects, 1))
    return total / len(IOUS)


def _area(hits: np.ndarray, counts: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """[B], the mean precision at COCO's 101 recalls, of M right detections.

    Args:
        hits: [M, B], the number of right detections up to there.
        counts: [M, B], of right and wrong ones.
        objects: [B].
    """
    best = hits / (counts + np.spacing(1))
    np.maximum.accumulate(best[::-1], axis=0, out=best[::-1])
    recall = hits / objects
    # Recalls are shares of whole numbers, so none that is not at a step is this close to it.
    steps = (recall * (len(RECALLS) - 1) + 1e-7).astype(np.int32)
    reached = steps + (RECALLS[steps] <= recall)
    reached[hits == 0] = 0
    best[1:] *= np.diff(reached, axis=0)
    best[0] *= reached[0]
    return best.sum(0) / len(RECALLS)


def intervals(found: dict[str, Matches]) -> dict[str, Interval]:
    """By name of a figure, its interval; without those that are undefined."""
    known = {}
    for name, one in found.items():
        interval = Interval.of(precisions(one, drawn(one.objects.shape[1])))
        if interval is not None:
            known[name] = interval
    return known


def alike(found: Sequence[Interval | None]) -> list[tuple[int, int]]:
    """The pairs of places of intervals that do not tell two detectors apart."""
    return [
        (first, second)
        for second, other in enumerate(found)
        for first, one in enumerate(found[:second])
        if one is not None and other is not None and one.differs(other) is False
    ]
