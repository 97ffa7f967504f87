"""Detections on a split at IoU 0.5, each with what it takes: one set of matches for curves,
thresholds, the confusion matrix and errors by kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from detectors.data.dataset import Dataset
from detectors.evaluation.matches import Matches
from detectors.evaluation.results import Results, Row
from detectors.evaluation.truth import Truth

IOU = 0.5


@dataclass(frozen=True, eq=False)
class Judged:
    """D detections that count at IoU 0.5, right or wrong, and G scored objects, of K classes on I
    images; what lies in ignore regions or is a difficult object is left out.

    Attributes:
        names: of the classes.
        images, labels: [D], places of image and class.
        scores: [D].
        boxes: [D, 4], x, y, width, height in pixels.
        right: [D].
        items: [D], the place of the object that a right detection has; -1 for a wrong one.
        item_images, item_labels: [G].
        item_boxes: [G, 4].
        count: I.
    """

    names: tuple[str, ...]
    images: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    right: np.ndarray
    items: np.ndarray
    item_images: np.ndarray
    item_labels: np.ndarray
    item_boxes: np.ndarray
    count: int

    @classmethod
    def of(cls, split: Dataset, results: Sequence[Row], found: Matches) -> Judged:
        """Args:
        found: the matches of these results at all sizes.
        """
        results, truth = Results.of(results), Truth.of(split)
        ids = np.array([image.id for image in split.images])
        categories = np.array([category.id for category in split.categories])
        scored = np.flatnonzero(~truth.crowd & (truth.areas >= 0))
        place = np.full(1 + len(truth.ids), -1)
        place[scored] = np.arange(len(scored))
        kept = np.flatnonzero(found.counted[0])
        sources, right = found.places[kept], found.right[0, kept]
        return cls(
            tuple(category.name for category in split.categories),
            found.images[kept],
            found.labels[kept],
            results.scores[sources],
            results.boxes[sources],
            right,
            np.where(right, place[found.items[kept]], -1),
            np.searchsorted(ids, truth.images[scored]),
            np.searchsorted(categories, truth.categories[scored]),
            truth.boxes[scored],
            len(ids),
        )

    def above(self, least: np.ndarray) -> Judged:
        """With the detections alone that reach the least score of their class.

        Matches stay as they are: a detection of a lower score never takes an object from another.

        Args:
            least: [K].
        """
        kept = self.scores >= least[self.labels]
        columns = ("images", "labels", "scores", "boxes", "right", "items")
        return Judged(
            **{
                name: value[kept] if name in columns else value
                for name, value in vars(self).items()
            }
        )

    def by_image(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each image with detections and objects, the places of both and their IoU [d, g], of
        whatever classes; detections best first."""
        order = np.lexsort((-self.scores, self.images))
        objects = np.argsort(self.item_images, kind="stable")
        ids = np.intersect1d(self.images, self.item_images)
        ends = [
            np.searchsorted(column, ids, side=side)
            for column in (self.images[order], self.item_images[objects])
            for side in ("left", "right")
        ]
        for start, end, first, last in zip(*ends, strict=True):
            found, items = order[start:end], objects[first:last]
            boxes, others = self.boxes[found], self.item_boxes[items]
            yield found, items, coco_mask.iou(boxes, others, [0] * len(items))
