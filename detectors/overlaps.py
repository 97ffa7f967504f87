"""Detections and objects of one class on one image, and how they overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from detectors.data.dataset import Annotation, Dataset


@dataclass(frozen=True)
class Group:
    """What is found, and what there is, of one class on one image.

    Attributes:
        category: id of the class.
        scores: [D], highest first.
        boxes: [D, 4], x, y, width, height of the detections in pixels.
        objects: G objects, difficult ones included.
        overlaps: [D, G], IoU.
        covered: [D], the largest share of the detection's area in one ignore region.
    """

    category: int
    scores: np.ndarray
    boxes: np.ndarray
    objects: tuple[Annotation, ...]
    overlaps: np.ndarray
    covered: np.ndarray


def groups(
    split: Dataset, results: Sequence[dict[str, Any]], most: int | None = None
) -> Iterator[Group]:
    """Every class on every image that has objects or detections of it.

    Args:
        results: in COCO's form.
        most: the best detections of an image that count, over all classes; by default all.
    """
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    for image in split.images:
        annotated = split.annotations[image.id]
        found = sorted(by_image[image.id], key=lambda result: -result["score"])[:most]
        own = {item.category_id for item in annotated if not item.iscrowd}
        for category in split.categories:
            mine = [result for result in found if result["category_id"] == category.id]
            if mine or category.id in own:
                yield _group(category.id, mine, annotated)


def _group(category: int, found: list[dict[str, Any]], annotated: Sequence[Annotation]) -> Group:
    boxes = np.array([result["bbox"] for result in found], dtype=float).reshape(-1, 4)
    objects = tuple(a for a in annotated if a.category_id == category and not a.iscrowd)
    regions = [a for a in annotated if a.iscrowd and a.category_id in (category, None)]
    return Group(
        category,
        np.array([result["score"] for result in found], dtype=float),
        boxes,
        objects,
        _overlaps(boxes, objects, crowd=False),
        _overlaps(boxes, regions, crowd=True).max(1, initial=0.0),
    )


def _overlaps(boxes: np.ndarray, items: Sequence[Annotation], crowd: bool) -> np.ndarray:
    """[D, G]: IoU, or with `crowd` the share of the detection that lies in the item."""
    if not len(boxes) or not items:
        return np.zeros((len(boxes), len(items)))
    corners = np.array([item.box for item in items], dtype=float)
    sides = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
    return coco_mask.iou(boxes, sides, [int(crowd)] * len(items))
