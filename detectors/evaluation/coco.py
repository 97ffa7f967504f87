"""COCO's tables of precision and recall, by a fast library or by COCO's own code."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectors.data.dataset import Dataset
from detectors.evaluation.results import Results
from detectors.evaluation.truth import Truth

logger = logging.getLogger(__name__)

AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
    "tiny": (0.0, 16.0**2),
    "very_tiny": (0.0, 8.0**2),
}
"""By size, the areas of objects in pixels, both ends included as COCO does. The first four are
COCO's."""

SIZES = tuple(AREAS)[1:]


@dataclass(frozen=True, eq=False)
class Tables:
    """COCO's tables; -1 where there are no objects.

    Attributes:
        precision: [10 IoUs, 101 recalls, K classes, 6 areas, 3 numbers of detections], the best at
            this recall or a higher one.
        recall: the same without recalls.
    """

    precision: np.ndarray
    recall: np.ndarray

    def ap(
        self, area: str = "all", iou: int | None = None, label: int | None = None
    ) -> float | None:
        """Average precision, with most detections.

        Args:
            iou: place of the IoU, from 0.5 in steps of 0.05; by default the mean over all.
            label: place of the class; by default the mean over all that have objects.
        """
        found = self.precision[:, :, :, tuple(AREAS).index(area), -1]
        return _mean(found[_one(iou), :, _one(label)])

    def ar(self, area: str = "all", most: int = -1) -> float | None:
        """Average recall, with the number of detections at a place."""
        return _mean(self.recall[:, :, tuple(AREAS).index(area), most])


def _one(index: int | None) -> slice:
    return slice(None) if index is None else slice(index, index + 1)


def _mean(values: np.ndarray) -> float | None:
    values = values[values > -1]
    return float(values.mean()) if values.size else None


Engine = Callable[[Dataset, Results, int], Tables]
"""Computes the tables of detections on a split, with 1, 10 and a given number of detections of a
class on an image."""


def by_hotcoco(split: Dataset, results: Results, most: int) -> Tables:
    """By hotcoco, 50 to 100 times as fast as pycocotools, with the same numbers."""
    truth = Truth.of(split)
    objects = hotcoco.COCO.from_arrays(
        [{"id": i.id, "width": i.width, "height": i.height} for i in split.images],
        [{"id": category.id, "name": category.name} for category in split.categories],
        truth.images,
        truth.categories,
        truth.boxes,
        ids=truth.ids,
        area=truth.areas,
        iscrowd=truth.crowd,
    )
    columns = (results.images, results.boxes, results.scores, results.categories)
    found = objects.load_res(np.column_stack(columns).astype(float))
    return _run(hotcoco.COCOeval(objects, found, "bbox"), most)


def by_pycocotools(split: Dataset, results: Results, most: int) -> Tables:
    """By COCO's own code, which is the referee."""
    truth, objects = Truth.of(split), COCO()
    columns = (truth.ids, truth.images, truth.categories, truth.boxes, truth.areas, truth.crowd)
    names = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    objects.dataset = {
        "info": {},  # loadRes of some releases copies it
        "images": [{"id": image.id} for image in split.images],
        "categories": [{"id": category.id} for category in split.categories],
        "annotations": [dict(zip(names, row, strict=True)) for row in rows],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        objects.createIndex()
        return _run(COCOeval(objects, _loaded(objects, results), "bbox"), most)


def _loaded(objects: COCO, results: Results) -> COCO:
    """Detections as pycocotools' object; its `loadRes` cannot load an empty list."""
    if len(results):
        return objects.loadRes(list(results))
    found = COCO()
    found.dataset = {**objects.dataset, "annotations": []}
    found.createIndex()
    return found


def _run(evaluation: Any, most: int) -> Tables:
    """Both libraries have the same interface."""
    params = evaluation.params
    params.areaRng, params.areaRngLbl = [list(area) for area in AREAS.values()], list(AREAS)
    params.maxDets = [1, 10, most]
    evaluation.evaluate()
    evaluation.accumulate()
    tables = evaluation.eval
    return Tables(np.asarray(tables["precision"]), np.asarray(tables["recall"]))


REFEREE = "pycocotools"
ENGINES: dict[str, Engine] = {"hotcoco": by_hotcoco, REFEREE: by_pycocotools}
"""By the name of the library, the ways to compute COCO's tables."""

REFEREED = 500
"""The most images of a split on which the referee confirms other engines: it takes some 10 ms an
image, half a minute on all of COCO's."""

AGREEMENT = 1e-9
"""The largest difference of two engines' tables that is none."""


def refereed(
    split: Dataset, results: Results, most: int, engine: str, tables: Tables
) -> float | None:
    """The largest difference of an engine's tables from the referee's; a larger one than
    `AGREEMENT` is logged as an error. None if the split has too many images."""
    if engine == REFEREE:
        return 0.0
    if len(split.images) > REFEREED:
        return None
    own = ENGINES[REFEREE](split, results, most)
    pairs = ((tables.precision, own.precision), (tables.recall, own.recall))
    difference = max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs)
    if difference > AGREEMENT:
        logger.error(
            f"{engine} and {REFEREE} differ by {difference:.2g} in COCO's tables: set "
            f'measure.metrics = "{REFEREE}", whose figures count, and report this as a bug'
        )
    return difference
