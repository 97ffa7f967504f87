"""The objects and ignore regions of a split as arrays."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields

import numpy as np

from detectors.data.dataset import Dataset
from searchspace.measuring import COCO_DETECTIONS

NOWHERE = -1.0
"""The area of a difficult object: it lies in no range of areas, so COCO's evaluation ignores it,
as it ignores objects of other sizes; COCO's own key `ignore` is overwritten by `iscrowd`."""


MOST = 1000
"""What single images may raise the number of detections to: time and memory of post-processing
grow with it."""


@dataclass(frozen=True, eq=False)
class Truth:
    """G objects and ignore regions, each of a class: a region of all classes is one of each.

    Attributes:
        ids: [G].
        images: [G], ids.
        categories: [G], ids.
        boxes: [G, 4], x, y, width, height in pixels.
        areas: [G], in pixels; `NOWHERE` for difficult objects.
        crowd: [G], whether it is an ignore region.
    """

    ids: np.ndarray
    images: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray

    @classmethod
    def of(cls, split: Dataset) -> Truth:
        items = [item for image in split.images for item in split.annotations[image.id]]
        new = itertools.count(1 + max((item.id for item in items), default=0))
        rows = [(a.id, a.category_id, a) for a in items if a.category_id is not None]
        for region in (item for item in items if item.category_id is None):
            rows += [(next(new), category.id, region) for category in split.categories]
        corners = np.array([a.box for *_, a in rows], dtype=float).reshape(-1, 4)
        areas = [NOWHERE if a.difficult else a.area for *_, a in rows]
        return cls(
            np.array([key for key, *_ in rows], dtype=np.int64),
            np.array([a.image_id for *_, a in rows], dtype=np.int64),
            np.array([category for _, category, _ in rows], dtype=np.int64),
            np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1),
            np.array(areas, dtype=float),
            np.array([a.iscrowd for *_, a in rows], dtype=bool),
        )

    def at(self, places: np.ndarray) -> Truth:
        """Those at some places."""
        return Truth(*(getattr(self, field.name)[places] for field in fields(self)))


def detections_needed(*splits: Dataset) -> int:
    """How many detections of an image are kept and scored where nothing else is asked for.

    As many as the fullest image of the splits has objects, so that a perfect detector scores 1,
    but 100 as in COCO at least. Where single images have more than `MOST`, it is the larger of
    that and the 99th percentile of objects per image.
    """
    counts = [
        sum(not item.iscrowd for item in split.annotations[image.id])
        for split in splits
        for image in split.images
    ]
    if not counts:
        return COCO_DETECTIONS
    usual = int(np.ceil(np.percentile(counts, 99)))
    return max(COCO_DETECTIONS, usual, min(MOST, max(counts)))
