"""Errors by kind, and what each costs, as TIDE defines them (Bolya et al., TIDE: A General Toolbox
for Identifying Object Detection Errors, ECCV 2020).

A detection that is wrong at IoU 0.5 has one of five kinds, and an object that none of these could
have found is missed. The cost of a kind is what AP50 would gain if it alone were mended: a
detection of the wrong class or place becomes right, if it is the best one that wants its object,
and is removed otherwise; other wrong detections are removed, and missed objects not asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from detectors.evaluation.intervals import RECALLS
from detectors.evaluation.judged import IOU, Judged

BACKGROUND_IOU = 0.1
"""A detection that overlaps no object by this much lies on background."""

Kind = Literal["classification", "localisation", "both", "duplicate", "background", "missed"]
KINDS: tuple[Kind, ...] = get_args(Kind)

WORDS: dict[str, str] = {
    "classification": "right place, wrong class",
    "localisation": "right class, IoU from 0.1 to 0.5",
    "both": "wrong class, IoU from 0.1 to 0.5",
    "duplicate": "a better detection has the object",
    "background": "no object there",
    "missed": "an object that nothing else found",
}


class Cost(BaseModel):
    """Errors of a kind: their number, and the gain in AP50 without them as a fraction."""

    model_config = ConfigDict(frozen=True)

    count: int
    ap50: float


class Errors(BaseModel):
    """The errors of a detector.

    Attributes:
        ap50: AP50, from which the gains are counted; None without objects.
        kinds: by kind. Gains do not add up: mending one kind makes another cheaper or dearer.
        false_positives: without any wrong detection.
        false_negatives: without the objects that are not found, whatever the reason.
    """

    model_config = ConfigDict(frozen=True)

    ap50: float | None
    kinds: dict[Kind, Cost]
    false_positives: Cost
    false_negatives: Cost


@dataclass(frozen=True, eq=False)
class Kinds:
    """The kind of each wrong detection, and of each missed object.

    Attributes:
        kind: [D], place among `KINDS`; -1 for right detections.
        wants: [D], the object that a detection of the wrong class or place would have, if it is the
            best that wants it; -1 otherwise.
        missed: [G].
    """

    kind: np.ndarray
    wants: np.ndarray
    missed: np.ndarray

    def of(self, kind: Kind) -> np.ndarray:
        """[D], which detections are of a kind."""
        return self.kind == KINDS.index(kind)


def kinds_of(judged: Judged) -> Kinds:
    """The kind of every error; detections of any score count."""
    kind = np.where(judged.right, -1, KINDS.index("background"))
    wants = np.full(len(kind), -1)
    free = np.ones(len(judged.item_labels), dtype=bool)
    free[judged.items[judged.right]] = False
    wanted = np.zeros_like(free)
    for found, items, overlaps in judged.by_image():
        alike = judged.labels[found][:, None] == judged.item_labels[items]
        own, other = np.where(alike, overlaps, 0.0), np.where(alike, 0.0, overlaps)
        kind[found] = np.where(judged.right[found], -1, _kinds(own.max(1), other.max(1)))
        goal = np.where(kind[found] == KINDS.index("localisation"), own.argmax(1), other.argmax(1))
        for detection, item in zip(found, items[goal], strict=True):  # best first
            if 0 <= kind[detection] <= KINDS.index("localisation") and free[item]:
                wants[detection] = -1 if wanted[item] else item
                wanted[item] = True
    return Kinds(kind, wants, free & ~wanted)


def _kinds(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[D], the kinds of wrong detections by their best IoU with objects of their class and of
    others, in the order in which TIDE asks."""
    conditions = [
        (own >= BACKGROUND_IOU) & (own < IOU),
        other >= IOU,
        own >= IOU,
        other >= BACKGROUND_IOU,
    ]
    names: tuple[Kind, ...] = ("localisation", "classification", "duplicate", "both")
    return np.select(conditions, [KINDS.index(n) for n in names], KINDS.index("background"))


def errors_by_kind(judged: Judged) -> Errors:
    """All errors of detections with what they cost."""
    found = kinds_of(judged)
    objects = np.bincount(judged.item_labels, minlength=len(judged.names))
    before = _ap50(judged.labels, judged.scores, judged.right, objects)
    wrong = ~judged.right
    unfound = objects - np.bincount(judged.labels[judged.right], minlength=len(objects))
    missed = np.bincount(judged.item_labels[found.missed], minlength=len(objects))

    def cost(count: int, removed: np.ndarray, left: np.ndarray) -> Cost:
        mended = removed & (found.wants >= 0) if removed is not wrong else np.zeros_like(wrong)
        labels = judged.labels.copy()
        labels[mended] = judged.item_labels[found.wants[mended]]
        kept = ~removed | mended
        after = _ap50(labels[kept], judged.scores[kept], (judged.right | mended)[kept], left)
        return Cost(count=count, ap50=(after or 0.0) - (before or 0.0))

    none = np.zeros_like(wrong)
    kinds: dict[Kind, Cost] = {
        kind: cost(int(found.of(kind).sum()), found.of(kind), objects) for kind in KINDS[:-1]
    }
    kinds["missed"] = cost(int(found.missed.sum()), none, objects - missed)
    return Errors(
        ap50=before,
        kinds=kinds,
        false_positives=cost(int(wrong.sum()), wrong, objects),
        false_negatives=cost(int(unfound.sum()), none, objects - unfound),
    )


def _ap50(
    labels: np.ndarray, scores: np.ndarray, right: np.ndarray, objects: np.ndarray
) -> float | None:
    """COCO's AP at IoU 0.5, over the classes that have objects; None without any.

    Args:
        labels, scores, right: [D], in any order; equal scores keep theirs.
        objects: [K].
    """
    values = []
    for label in np.flatnonzero(objects):
        mine = np.flatnonzero(labels == label)
        hits = right[mine[np.argsort(-scores[mine], kind="stable")]].cumsum()
        best = hits / np.arange(1, 1 + len(hits))
        best = np.maximum.accumulate(best[::-1])[::-1]
        place = np.searchsorted(hits / objects[label], RECALLS)
        values.append(np.append(best, 0.0)[place].mean())
    return float(np.mean(values)) if values else None
