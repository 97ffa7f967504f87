"""Errors by kind against hand-made cases, whose costs are known."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.data.dataset import Dataset
from detectors.evaluate import coco_metrics
from detectors.evaluation.confusion import confusion
from detectors.evaluation.curves import curves, thresholds
from detectors.evaluation.errors_by_kind import KINDS, errors_by_kind
from detectors.evaluation.judged import Judged
from detectors.evaluation.matches import matches
from detectors.evaluation.results import Results, Row
from tests.detectors.scenes import KINDS as SCENES
from tests.splits import split_of

WHOLE = (0, 0, 100, 100)
"""The box of an object, in x, y, width and height."""
OVER = (0, 0, 100, 40)
"""IoU 0.4 with it."""
ELSEWHERE = (500, 500, 50, 50)


def rows_of(found: list[tuple[int, int, tuple[int, ...], float]]) -> list[Row]:
    names = ("image_id", "category_id", "bbox", "score")
    return [dict(zip(names, row, strict=True)) for row in found]


def judged_of(split: Dataset, rows: list[Row]) -> Judged:
    found = matches(split, Results.of(rows), 100, ("all",))["all"]
    return Judged.of(split, rows, found)


TWO = split_of([[(1, WHOLE)], [(1, WHOLE)]])
"""Two images with an object of class one each."""
HALF = 51 / 101
"""COCO's AP where one of two objects is found without an error: recalls from 0 to 0.5."""


@pytest.mark.parametrize(
    ("second", "kind", "ap50", "mended"),
    [
        # Mended, it finds the second object.
        ((2, 1, OVER, 0.8), "localisation", HALF, 1.0),
        ((2, 2, WHOLE, 0.8), "classification", HALF, 1.0),
        # Removed: nothing of a lower score is right, so they cost nothing.
        ((2, 2, OVER, 0.8), "both", HALF, HALF),
        ((1, 1, WHOLE, 0.8), "duplicate", HALF, HALF),
        ((2, 1, ELSEWHERE, 0.8), "background", HALF, HALF),
        # Above the right one, it halves precision.
        ((2, 1, ELSEWHERE, 0.95), "background", HALF / 2, HALF),
    ],
)
def test_one_error_of_each_kind(
    second: tuple[int, int, tuple[int, ...], float], kind: str, ap50: float, mended: float
) -> None:
    judged = judged_of(TWO, rows_of([(1, 1, WHOLE, 0.9), second]))
    errors = errors_by_kind(judged)
    assert errors.ap50 == pytest.approx(ap50)
    found = {name: cost.count for name, cost in errors.kinds.items() if cost.count}
    usable = kind in ("localisation", "classification")
    assert found == {kind: 1} | ({} if usable else {"missed": 1})
    assert errors.kinds[kind].ap50 == pytest.approx(mended - ap50)
    # Without the object that is not found, one right detection is all there is to find.
    left = 1.0 if kind != "background" or second[3] < 0.9 else 0.5
    assert errors.kinds["missed"].ap50 == pytest.approx(0.0 if usable else left - ap50)
    assert errors.false_positives.ap50 == pytest.approx(HALF - ap50)
    assert errors.false_negatives.ap50 == pytest.approx(left - ap50)
    assert (errors.false_positives.count, errors.false_negatives.count) == (1, 1)


def test_only_the_best_of_those_that_want_an_object_gets_it() -> None:
    rows = rows_of([(1, 1, WHOLE, 0.9), (2, 1, OVER, 0.7), (2, 2, WHOLE, 0.8)])
    errors = errors_by_kind(judged_of(TWO, rows))
    assert errors.kinds["classification"].ap50 == pytest.approx(1 - HALF)
    assert errors.kinds["localisation"].count == 1
    assert errors.kinds["localisation"].ap50 == 0
    assert errors.kinds["missed"].count == 0


def test_confusion_counts_each_object_and_each_detection_once() -> None:
    split = split_of([[(1, WHOLE), (2, (200, 200, 300, 300))], [(1, WHOLE)]])
    rows = rows_of(
        [
            (1, 1, WHOLE, 0.9),
            (1, 1, (200, 200, 100, 100), 0.8),
            (2, 2, ELSEWHERE, 0.7),
            (2, 1, WHOLE, 0.2),
        ]
    )
    judged = judged_of(split, rows)
    assert confusion(judged).tolist() == [[2, 0, 0], [1, 0, 0], [0, 1, 0]]
    shown = judged.above(np.array([0.5, 0.5]))
    assert confusion(shown).tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_thresholds_are_where_the_curve_says() -> None:
    split = split_of([[(1, WHOLE)], [(1, WHOLE)], []])
    rows = rows_of([(1, 1, WHOLE, 0.9), (3, 1, WHOLE, 0.8), (2, 1, WHOLE, 0.7), (3, 1, WHOLE, 0.6)])
    judged = judged_of(split, rows)
    one, two = curves(judged)
    assert one.precision.tolist() == [1, 1 / 2, 2 / 3, 1 / 2]
    assert one.recall.tolist() == [1 / 2, 1 / 2, 1, 1]
    assert one.by_recall()[::50] == [1.0, 1.0, 2 / 3]
    assert one.by_score()[::25] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1 / 2, 0])
    assert (two.objects, two.scores.tolist(), two.by_score()[0]) == (0, [], 0)
    best = thresholds(judged).classes
    assert (best["bolt"].score, best["bolt"].f1) == (0.7, pytest.approx(0.8))
    assert best["nut"].score is None
    assert thresholds(judged, 0.6).classes["bolt"].score == 0.7
    assert thresholds(judged, 0.9).classes["bolt"].score == 0.9
    rows = [row | {"image_id": 3} for row in rows]
    assert thresholds(judged_of(split, rows), 0.9).classes["bolt"].score is None


@pytest.mark.parametrize("scene", SCENES)
def test_all_agree_on_ap50_and_every_error_has_one_kind(scene: str) -> None:
    split, results = SCENES[scene].made(1)
    judged = judged_of(split, results)
    errors = errors_by_kind(judged)
    assert errors.ap50 == pytest.approx(coco_metrics(split, results, bounded=False).ap50)
    wrong = sum(errors.kinds[kind].count for kind in KINDS[:-1])
    assert wrong == errors.false_positives.count == (~judged.right).sum()
    assert min(cost.ap50 for cost in errors.kinds.values()) >= 0
    table = confusion(judged)
    assert table[:-1].sum() == len(judged.item_labels)
    assert table[:, :-1].sum() == len(judged.labels)
    by_class = [thresholds(judged).classes[curve.name].f1 for curve in curves(judged)]
    best = [curve.f1.max(initial=0.0) if curve.objects else 0.0 for curve in curves(judged)]
    assert [f1 or 0.0 for f1 in by_class] == pytest.approx(best)
