"""Precision and recall over the scores of each class, and the thresholds that follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors.evaluation.judged import Judged
from detectors.thresholds import Threshold, Thresholds

POINTS = 101
"""Points of a curve as it is stored: at equal steps of recall, or of score."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of a class at IoU 0.5, at each score that a detection has.

    Attributes:
        name: of the class.
        objects: their number.
        scores: [M], distinct, the highest first.
        precision, recall: [M], of all detections of this score or more.
    """

    name: str
    objects: int
    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """[M], harmonic means of precision and recall."""
        sums = self.precision + self.recall
        both = 2 * self.precision * self.recall
        return np.divide(both, sums, out=np.zeros_like(sums), where=sums > 0)

    def by_recall(self) -> list[float]:
        """Precision at `POINTS` recalls from 0 to 1: the best there or at a higher recall, 0 where
        none is reached, as COCO interpolates it."""
        best = np.maximum.accumulate(self.precision[::-1])[::-1]
        place = np.searchsorted(self.recall, np.linspace(0, 1, POINTS) - 1e-9)
        return [*np.append(best, 0.0)[place].tolist()]

    def by_score(self) -> list[float]:
        """F1 at `POINTS` thresholds from 0 to 1; 0 above the highest score."""
        place = np.searchsorted(-self.scores, -np.linspace(0, 1, POINTS), side="right")
        return [*np.append(0.0, self.f1)[place].tolist()]

    def at(self, place: int) -> Threshold:
        """The threshold at one of the scores."""
        return Threshold(
            score=float(self.scores[place]),
            precision=float(self.precision[place]),
            recall=float(self.recall[place]),
            f1=float(self.f1[place]),
        )


def curves(judged: Judged) -> Iterator[Curve]:
    """The curve of each class, in order."""
    for label, name in enumerate(judged.names):
        mine = np.flatnonzero(judged.labels == label)
        mine = mine[np.argsort(-judged.scores[mine], kind="stable")]
        scores, hits = judged.scores[mine], judged.right[mine].cumsum()
        last = np.flatnonzero(np.diff(scores, append=-np.inf))
        objects = int((judged.item_labels == label).sum())
        yield Curve(
            name,
            objects,
            scores[last],
            hits[last] / (1 + last),
            hits[last] / max(1, objects),
        )


def thresholds(judged: Judged, least_precision: float | None = None) -> Thresholds:
    """The thresholds of all classes.

    Args:
        least_precision: the smallest score with at least this precision; by default the score with
            the best F1. A class without objects, or where no score is good enough, has none.
    """
    return Thresholds(
        rule="f1" if least_precision is None else "precision",
        least_precision=least_precision,
        images=judged.count,
        classes={curve.name: _threshold(curve, least_precision) for curve in curves(judged)},
    )


def at_thresholds(judged: Judged) -> Judged:
    """With the detections alone that reach the threshold with the best F1 of their class."""
    return judged.above(thresholds(judged).scores().numpy())


def _threshold(curve: Curve, least_precision: float | None) -> Threshold:
    if least_precision is None:
        good = np.flatnonzero(curve.f1 == curve.f1.max(initial=0.0))[:1]
        good = good[curve.f1[good] > 0]
    else:
        good = np.flatnonzero(curve.precision >= least_precision)[-1:]
    return curve.at(int(good[0])) if good.size and curve.objects else Threshold(score=None)
