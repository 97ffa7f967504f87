"""The detections and the objects of an image, and how those of one class overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from detectors.data.dataset import Annotation, Dataset
from detectors.evaluation.results import Results, Row


@dataclass(frozen=True)
class Found:
    """What is found on an image, and what there is.

    Attributes:
        categories: [D], ids of the detections' classes.
        scores: [D], highest first.
        boxes: [D, 4], x, y, width, height of the detections in pixels.
        objects: G objects, difficult ones included.
        overlaps: [D, G], IoU; 0 where the classes differ.
        covered: [D], the largest share of the detection's area in an ignore region of its class, or
            of all classes.
    """

    categories: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    objects: tuple[Annotation, ...]
    overlaps: np.ndarray
    covered: np.ndarray


def found_on_images(
    split: Dataset, results: Sequence[Row], most: int | None = None
) -> Iterator[Found]:
    """The images of a split, in order.

    Args:
        results: detections in COCO's form.
        most: the best detections of an image that count, over all classes; by default all.
    """
    found = Results.of(results)
    found = found.at(np.lexsort((-found.scores, found.images)))
    ids = [image.id for image in split.images]
    starts = np.searchsorted(found.images, ids, side="left")
    ends = np.searchsorted(found.images, ids, side="right")
    for image, start, end in zip(ids, starts, ends, strict=True):
        best = found[start : end if most is None else min(end, start + most)]
        annotated = split.annotations[image]
        objects = tuple(item for item in annotated if not item.iscrowd)
        regions = [item for item in annotated if item.iscrowd]
        yield Found(
            best.categories,
            best.scores,
            best.boxes,
            objects,
            _overlaps(best.categories, best.boxes, objects, crowd=False),
            _overlaps(best.categories, best.boxes, regions, crowd=True).max(1, initial=0.0),
        )


def _overlaps(
    categories: np.ndarray, boxes: np.ndarray, items: Sequence[Annotation], crowd: bool
) -> np.ndarray:
    """[D, G]: IoU, or with `crowd` the share of the detection that lies in the item."""
    if not len(boxes) or not items:
        return np.zeros((len(boxes), len(items)))
    corners = np.array([item.box for item in items], dtype=float)
    sides = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
    alike = [(categories == item.category_id) | (item.category_id is None) for item in items]
    return coco_mask.iou(boxes, sides, [int(crowd)] * len(items)) * np.stack(alike, 1)
