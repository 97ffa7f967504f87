from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectors.data.dataset import Annotation, Dataset
from detectors.detector import Detector
from detectors.evaluate import Metrics, coco_metrics, detect_split, evaluate
from searchspace.heads import Multibox, Postprocess
from searchspace.priors import ScaledPriors
from tests.detectors.scenes import perfect

FIGURES = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar_1", "ar_10", "ar", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip

Results = list[dict[str, Any]]


@pytest.fixture(scope="session")
def val(shapes: tuple[Dataset, Dataset]) -> Dataset:
    return shapes[1]


def noisy(split: Dataset, seed: int) -> Results:
    """Shifted boxes, some of another class, some of no object, some left out."""
    rng = np.random.default_rng(seed)
    ids = [category.id for category in split.categories]
    results = []
    for result in list(perfect(split)) * 2:
        if rng.random() < 0.3:
            continue
        x, y, w, h = result["bbox"]
        dx, dy, grow = rng.normal(0, 0.15, 3)
        box = [x + dx * w, y + dy * h, w * np.exp(grow), h * np.exp(grow)]
        category = result["category_id"] if rng.random() < 0.8 else int(rng.choice(ids))
        results.append(
            result | {"bbox": box, "category_id": category, "score": float(rng.random())}
        )
    return results


def by_files(split: Dataset, results: Results, folder: Path) -> list[float]:
    """COCO's twelve figures from two JSON files."""
    truth = {
        "images": [{"id": i.id, "width": i.width, "height": i.height} for i in split.images],
        "categories": [{"id": c.id, "name": c.name} for c in split.categories],
        "annotations": [
            {
                "id": a.id,
                "image_id": a.image_id,
                "category_id": a.category_id,
                "bbox": [a.box[0], a.box[1], a.box[2] - a.box[0], a.box[3] - a.box[1]],
                "area": a.area,
                "iscrowd": int(a.iscrowd),
            }
            for items in split.annotations.values()
            for a in items
        ],
        "info": {},
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    coco = COCO(str(folder / "truth.json"))
    run = COCOeval(coco, coco.loadRes(str(folder / "results.json")), "bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
    return run.stats.tolist()


def with_crowd(split: Dataset) -> Dataset:
    """The first small object of the split is a crowd region."""
    found = next(a for image in split.images for a in split.annotations[image.id] if a.area < 1024)
    crowd = replace(found, iscrowd=True, segmentation=None)
    items = tuple(crowd if a == found else a for a in split.annotations[found.image_id])
    return replace(split, annotations={**split.annotations, found.image_id: items})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [lambda split: split, with_crowd], ids=["plain", "crowd"])
def test_the_figures_are_pycocotools_own(
    val: Dataset, change: Callable[[Dataset], Dataset], seed: int, tmp_path: Path
) -> None:
    split = change(val)
    results = noisy(val, seed)
    expected = by_files(split, copy.deepcopy(results), tmp_path)
    metrics = coco_metrics(split, copy.deepcopy(results))
    for name, value in zip(FIGURES, expected, strict=True):
        assert getattr(metrics, name) == (pytest.approx(value) if value > -1 else None)
    assert metrics.ap is not None
    assert 0 < metrics.ap < 1


def test_figures_by_class_are_those_of_the_class_alone(val: Dataset, tmp_path: Path) -> None:
    results = noisy(val, 5)
    metrics = coco_metrics(val, results)
    assert list(metrics.classes) == [category.name for category in val.categories]
    for category in val.categories:
        mine = {
            image: tuple(a for a in items if a.category_id == category.id)
            for image, items in val.annotations.items()
        }
        alone = replace(val, annotations=mine, categories=(category,))
        found = [r for r in results if r["category_id"] == category.id]
        expected = coco_metrics(alone, found)
        figures = metrics.classes[category.name]
        for name in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"):
            assert getattr(figures, name) == pytest.approx(getattr(expected, name))


def test_perfect_detections_are_one_and_none_are_zero(val: Dataset) -> None:
    best, worst = coco_metrics(val, perfect(val)), coco_metrics(val, [])
    for name in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ar", "ar_small"):
        assert getattr(best, name) == pytest.approx(1.0)
        assert getattr(worst, name) == 0.0
    assert all(figures.ap in (None, pytest.approx(1.0)) for figures in best.classes.values())


def resized(split: Dataset, area: float) -> Dataset:
    annotations = {
        image: tuple(replace(a, area=area) for a in items)
        for image, items in split.annotations.items()
    }
    return replace(split, annotations=annotations)


def test_a_size_that_no_object_has_has_no_figure(val: Dataset) -> None:
    metrics = coco_metrics(resized(val, 5000.0), perfect(val))
    assert metrics.ap == pytest.approx(1.0)
    assert metrics.ap_medium == pytest.approx(1.0)
    for name in ("ap_small", "ar_small", "ap_large", "ar_large"):
        assert getattr(metrics, name) is None
    assert metrics.small_objects == 0
    assert {figures.ap_small for figures in metrics.classes.values()} == {None}


@pytest.mark.parametrize("area", [1023.0, 1024.0, 1025.0])
def test_small_objects_are_those_that_the_figure_rests_on(val: Dataset, area: float) -> None:
    metrics = coco_metrics(resized(val, area), perfect(val))
    assert (metrics.small_objects > 0) == (metrics.ap_small is not None)


def quarter_of(item: Annotation) -> dict[str, object]:
    """A sure detection of the upper left quarter of an object or a region."""
    x1, y1, x2, y2 = item.box
    return {
        "image_id": item.image_id,
        "category_id": item.category_id,
        "bbox": [x1, y1, (x2 - x1) / 2, (y2 - y1) / 2],
        "score": 1.0,
    }


def test_ignore_regions_are_neither_missed_nor_small_objects(val: Dataset) -> None:
    crowded = with_crowd(val)
    found = perfect(crowded)
    metrics = coco_metrics(crowded, found)
    assert metrics.ap == pytest.approx(1.0)
    small = [
        a.area < 1024 for items in crowded.annotations.values() for a in items if not a.iscrowd
    ]
    assert metrics.small_objects == sum(small)
    crowd = next(a for items in crowded.annotations.values() for a in items if a.iscrowd)
    within = quarter_of(crowd)
    assert coco_metrics(crowded, [*found, within]).ap == pytest.approx(1.0)
    elsewhere = within | {"bbox": [0, 0, 3, 3]}
    assert coco_metrics(crowded, [*found, elsewhere]).ap < 1


def test_measuring_twice_gives_the_same(val: Dataset) -> None:
    results = noisy(val, 3)
    assert coco_metrics(val, results) == coco_metrics(val, results)


def test_a_detectors_results_are_its_detections(
    val: Dataset, make_detector: Callable[..., Detector]
) -> None:
    postprocess = Postprocess(score_threshold=0.0, detections=15)
    detector = make_detector(head=Multibox(priors=ScaledPriors(), postprocess=postprocess)).train()
    results = detect_split(detector, val, torch.device("cpu"))
    assert {r["image_id"] for r in results} == {image.id for image in val.images}
    assert {r["category_id"] for r in results} <= {c.id for c in val.categories}
    assert len(results) <= 15 * len(val.images)
    for result in results:
        x, y, w, h = result["bbox"]
        assert min(x, y, w, h) >= 0
        assert max(x + w, y + h) <= 96 + 1e-3
    metrics = evaluate(detector, val, torch.device("cpu"))
    assert metrics == coco_metrics(val, results)


def test_an_untrained_detector_scores_nothing(
    make_detector: Callable[..., Detector], val: Dataset
) -> None:
    metrics = evaluate(make_detector(), val, torch.device("cpu"))
    assert metrics.small_objects > 0
    assert metrics.ap_small < 0.005


def test_data_of_other_classes_are_refused(
    make_detector: Callable[..., Detector], val: Dataset
) -> None:
    names = [category.name for category in val.categories]
    detector = make_detector(num_classes=len(names))
    detector.classes = tuple(reversed(names))
    with pytest.raises(ValueError, match=r"classes .* score it on data of the same"):
        evaluate(detector, val, torch.device("cpu"))
    unnamed = make_detector(num_classes=len(names) + 1)
    with pytest.raises(ValueError, match=f"trained for {len(names) + 1} classes, but the data"):
        evaluate(unnamed, val, torch.device("cpu"))


def hardened(split: Dataset) -> Dataset:
    """Every third object of the split is difficult."""
    annotations = {
        image: tuple(replace(a, difficult=a.id % 3 == 0) for a in items)
        for image, items in split.annotations.items()
    }
    return replace(split, annotations=annotations)


def test_difficult_objects_are_neither_scored_nor_held_against(val: Dataset) -> None:
    hard = hardened(val)
    easy = [a.id for items in hard.annotations.values() for a in items if a.scored]
    every = [a for items in hard.annotations.values() for a in items]
    found = perfect(val)
    wanted = [result for result, a in zip(found, every, strict=True) if a.scored]
    for results in (found, wanted):
        metrics = coco_metrics(hard, results)
        assert metrics.ap == pytest.approx(1.0)
    assert 0 < len(easy) < len(every)
    assert metrics.small_objects == sum(a.scored and a.area <= 1024 for a in every)
    # Unlike in an ignore region, a detection of a part of it is wrong.
    item = next(a for a in every if a.difficult)
    part = quarter_of(item)
    assert coco_metrics(hard, [*found, part]).ap < 1
    assert hard.fingerprint != val.fingerprint


def test_results_of_earlier_versions_are_read(val: Dataset) -> None:
    now = coco_metrics(val, noisy(val, 1))
    stored = now.model_dump()
    for name in ("ar_1", "ar_10", "voc_map", "voc_map_07", "by_size"):
        del stored[name]
    for figures in stored["classes"].values():
        for name in ("ap75", "ap_medium", "ap_large", "voc_ap", "voc_ap_07"):
            del figures[name]
    old = Metrics.model_validate(stored)
    assert (old.ap, old.ar_100, old.ar_1, old.voc_map) == (now.ap, now.ar, None, None)
    assert now.ar_1 <= now.ar_10 <= now.ar_100
    name, figures = next(iter(now.classes.items()))
    assert figures.ap75 is not None
    assert old.classes[name].ap75 is None
