"""Recall and accuracy of signs by size, counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detectors.data.dataset import Annotation, Category, Dataset, ImageRecord
from detectors.evaluate import coco_metrics
from detectors.tt100k_metric import SizeMetrics, by_size

Corners = tuple[float, float, float, float]


def split_of(*objects: tuple[Any, Corners, dict[str, Any]]) -> Dataset:
    annotations = tuple(
        Annotation(number, 1, category, box, 1.0, more.get("iscrowd", False), None,
                   more.get("difficult", False))
        for number, (category, box, more) in enumerate(objects, start=1)
    )  # fmt: skip
    image = ImageRecord(1, Path("a"), 500, 500)
    return Dataset((image,), (Category(1, "pl5"), Category(2, "pl50")), {1: annotations})


def found(category: int, box: Corners, score: float = 0.9) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    return {
        "image_id": 1, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score
    }  # fmt: skip


SMALL, WIDE = (0.0, 0.0, 31.0, 10.0), (0.0, 100.0, 32.0, 110.0)
LARGE, HUGE = (100.0, 100.0, 200.0, 200.0), (50.0, 0.0, 450.0, 400.0)


def test_objects_count_by_their_longer_side_and_classes_have_to_agree() -> None:
    split = split_of((1, SMALL, {}), (1, WIDE, {}), (2, LARGE, {}), (1, HUGE, {}))
    results = [
        found(1, SMALL),
        found(2, WIDE),  # another class: the sign is missed, and this is wrong
        found(2, (100.0, 100.0, 200.0, 195.0)),
        found(2, (100.0, 100.0, 200.0, 190.0), 0.95),  # overlaps less: no sign is left for it
        found(1, SMALL, 0.4),  # not sure enough
    ]
    sizes = by_size(split, results)
    assert sizes == {
        "0-32": SizeMetrics(recall=1, accuracy=1),
        "32-96": SizeMetrics(recall=0, accuracy=0),
        "96-400": SizeMetrics(recall=1, accuracy=0.5),
    }
    assert coco_metrics(split, results).by_size == sizes
    assert by_size(split, results, least_score=0.3)["0-32"].accuracy == 0.5


def test_a_pair_has_the_size_of_its_object() -> None:
    sizes = by_size(split_of((1, SMALL, {})), [found(1, (0.0, 0.0, 40.0, 10.0))])
    assert sizes["0-32"] == SizeMetrics(recall=1, accuracy=1)
    assert sizes["32-96"] == SizeMetrics(recall=None, accuracy=None)


@pytest.mark.parametrize(
    "ignored", [(1, SMALL, {"difficult": True}), (None, (0.0, 0.0, 40.0, 20.0), {"iscrowd": True})]
)
def test_difficult_signs_and_regions_do_not_count(ignored: Any) -> None:
    sizes = by_size(split_of(ignored), [found(1, SMALL)])
    assert sizes["0-32"] == SizeMetrics(recall=None, accuracy=None)
