"""Pascal VOC's metric against its definition, image by image and detection by detection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.data.dataset import Annotation, Category, Dataset, ImageRecord
from detectors.evaluate import coco_metrics
from detectors.voc_metric import MOST, voc_precisions
from tests.devkit import Corners, Results, by_definition
from tests.shared import SHARED

REAL = Path(__file__).with_name("bccd_detections.json")
"""The 40 best detections on each of 24 validation images of BCCD, by a detector trained on it for a
few epochs: image, category, x, y, width, height, score."""


def bccd() -> tuple[Dataset, Results]:
    """Objects, of which every third is difficult, and a detector's detections."""
    file = SHARED / "bccd/annotations/instances_val.json"
    if not file.is_file():
        pytest.skip("../shared/data/bccd is not there")
    results = [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image, category, *box, score in json.loads(REAL.read_text())
    ]
    document, used = json.loads(file.read_text()), {result["image_id"] for result in results}
    annotations: dict[int, tuple[Annotation, ...]] = dict.fromkeys(sorted(used), ())
    for entry in document["annotations"]:
        if entry["image_id"] in used:
            x, y, width, height = entry["bbox"]
            one = item(entry["image_id"], entry["category_id"], (x, y, x + width, y + height))
            one = replace(one, id=entry["id"], difficult=entry["id"] % 3 == 0)
            annotations[one.image_id] += (one,)
    classes = tuple(Category(c["id"], c["name"]) for c in document["categories"])
    images = tuple(ImageRecord(key, Path(str(key)), 640, 480) for key in annotations)
    return Dataset(images, classes, annotations), results


def item(image: int, category: int, box: Corners, **more: Any) -> Annotation:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return Annotation(1, image, category, box, area, more.pop("iscrowd", False), None, **more)


def easy(split: Dataset) -> Dataset:
    """Without difficult objects: all are scored."""
    every = split.annotations.items()
    plain = {key: tuple(replace(a, difficult=False) for a in items) for key, items in every}
    return replace(split, annotations=plain)


@pytest.mark.parametrize("change", [lambda split: split, easy], ids=["difficult", "easy"])
def test_real_detections_score_as_by_the_definition(change: Any) -> None:
    split, results = bccd()
    split = change(split)
    metrics = coco_metrics(split, results)
    found = voc_precisions(split, results)
    wanted = {c.id: by_definition(split, results, c.id) for c in split.categories}
    for category in split.categories:
        area, points = wanted[category.id]
        assert found[category.id].area == pytest.approx(area, abs=1e-12)
        assert found[category.id].points == pytest.approx(points, abs=1e-12)
        own = metrics.classes[category.name]
        assert (own.voc_ap, own.voc_ap_07) == (found[category.id].area, found[category.id].points)
    areas, points = zip(*wanted.values(), strict=True)
    assert metrics.voc_map == pytest.approx(np.mean(areas))
    assert metrics.voc_map_07 == pytest.approx(np.mean(points))
    assert 0.3 < metrics.voc_map < 0.8


def test_difficult_objects_change_the_real_score() -> None:
    split, results = bccd()
    hard, plain = coco_metrics(split, results), coco_metrics(easy(split), results)
    assert abs(hard.voc_map - plain.voc_map) > 0.005
    assert abs(hard.ap50 - plain.ap50) > 0.005


# ---- what each rule does, on one image of one class


def scored(objects: list[Annotation], *found: tuple[Corners, float]) -> tuple[Any, Any]:
    """Area and 11 points of detections (x, y, width, height; score)."""
    image = ImageRecord(1, Path("a"), 100, 100)
    numbered = tuple(replace(one, id=n) for n, one in enumerate(objects, start=1))
    split = Dataset((image,), (Category(7, "dog"),), {1: numbered})
    results = [
        {"image_id": 1, "category_id": 7, "bbox": list(box), "score": score} for box, score in found
    ]
    one = voc_precisions(split, results)[7]
    return one.area, one.points


BOX, AWAY = (10.0, 10.0, 30.0, 30.0), (60.0, 60.0, 80.0, 80.0)
ON, OFF = (10.0, 10.0, 20.0, 20.0), (40.0, 40.0, 5.0, 5.0)


def test_a_second_detection_of_an_object_is_wrong() -> None:
    both = [item(1, 7, BOX), item(1, 7, AWAY)]
    on_away = (60.0, 60.0, 20.0, 20.0)
    assert scored(both, (ON, 0.9), (on_away, 0.8), (ON, 0.7)) == (1, 1)
    area, points = scored(both, (ON, 0.9), (ON, 0.8), (on_away, 0.7))
    assert area == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert points == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_any_number_of_detections_of_a_difficult_object_do_not_count() -> None:
    objects = [item(1, 7, BOX, difficult=True), item(1, 7, AWAY)]
    found = ((ON, 0.9), (ON, 0.8), ((60.0, 60.0, 20.0, 20.0), 0.7))
    assert scored(objects, *found) == (1, 1)
    assert scored(objects, *found[:2]) == (0, 0)
    assert scored(objects[:1], *found) == (None, None)


def test_what_lies_in_an_ignore_region_of_its_class_or_of_all_does_not_count() -> None:
    for category in (7, None):
        region = item(1, category, (35.0, 35.0, 100.0, 100.0), iscrowd=True)
        assert scored([item(1, 7, BOX), region], (OFF, 0.9), (ON, 0.8)) == (1, 1)
    assert scored([item(1, 7, BOX)], (OFF, 0.9), (ON, 0.8)) == (0.5, 0.5)


def test_an_overlap_of_a_half_is_enough() -> None:
    assert scored([item(1, 7, BOX)], ((10.0, 10.0, 20.0, 10.0), 0.9)) == (1, 1)
    assert scored([item(1, 7, BOX)], ((10.0, 10.0, 20.0, 9.9), 0.9)) == (0, 0)


def test_a_recall_of_three_in_ten_reaches_the_point_0_3() -> None:
    places = [(10.0 * n, 0.0, 10.0 * n + 8, 8.0) for n in range(10)]
    found = [((x, y, 8.0, 8.0), 0.9) for x, y, _, _ in places[:3]]
    assert scored([item(1, 7, box) for box in places], *found) == (
        pytest.approx(0.3),
        pytest.approx(4 / 11),
    )


def test_the_best_200_detections_of_an_image_count() -> None:
    others = [(OFF, 0.9)] * (MOST - 1)
    assert scored([item(1, 7, BOX)], *others, (ON, 0.5)) == pytest.approx((1 / 200, 1 / 200))
    assert scored([item(1, 7, BOX)], *others, (OFF, 0.6), (ON, 0.5)) == (0, 0)
    assert scored([item(1, 7, BOX)]) == (0, 0)
