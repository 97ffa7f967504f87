"""The objects of a split as arrays, one row an object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from detectors.boxes import aligned_iou
from detectors.data.dataset import Dataset
from searchspace.geometry import Canvas
from searchspace.tiles import Tiled

SAME = 0.9
"""IoU from which two boxes of a class are one object annotated twice."""


@dataclass(frozen=True)
class Boxes:
    """The M objects of a split, ignore regions left out.

    Attributes:
        images: [M], the position of the object's image in the split.
        labels: [M], 1..num_classes.
        corners: [M, 4], xyxy in pixels of the image.
        areas: [M], as annotated, in pixels of the image.
        keys: [M], the ids of the annotations.
        sizes: [N, 2], height and width of each image of the split.
    """

    images: np.ndarray
    labels: np.ndarray
    corners: np.ndarray
    areas: np.ndarray
    keys: np.ndarray
    sizes: np.ndarray

    @property
    def sides(self) -> np.ndarray:
        """[M, 2], width and height in pixels of the image."""
        return self.corners[:, 2:] - self.corners[:, :2]

    def per_image(self) -> np.ndarray:
        """[N], the number of objects of each image."""
        return np.bincount(self.images, minlength=len(self.sizes))

    def on_tiles(self, tiles: Tiled | None) -> Boxes:
        """The objects on tiles that touch each other, each on that which has its centre, as if it
        were an image; the same without tiles."""
        if tiles is None:
            return self
        parts = np.array([tiles.tile((h, w)) for h, w in self.sizes.tolist()]).reshape(-1, 2)
        sides = parts[self.images, ::-1]
        centres = (self.corners[:, :2] + self.corners[:, 2:]) / 2
        corners = self.corners - np.tile(centres // sides * sides, 2)
        return replace(self, corners=corners, sizes=parts)

    def on(self, canvas: Canvas) -> np.ndarray:
        """[M, 4], the corners in pixels of the network's input."""
        parts = self.on_tiles(canvas.tiles)
        contents = np.array([canvas.content((h, w)) for h, w in parts.sizes.tolist()])
        factors = contents.reshape(-1, 2) / np.maximum(parts.sizes, 1)
        return parts.corners * np.tile(factors[:, ::-1], 2)[self.images]


def boxes_of(split: Dataset) -> Boxes:
    """The objects of a split, image by image."""
    rows = [
        (number, split.label_of(item.category_id), *item.box, item.area, item.id)
        for number, image in enumerate(split.images)
        for item in split.annotations[image.id]
        if not item.iscrowd
    ]
    table = np.array(rows, dtype=float).reshape(-1, 8)
    sizes = np.array([(image.height, image.width) for image in split.images]).reshape(-1, 2)
    images, labels, keys = (table[:, k].astype(int) for k in (0, 1, 7))
    return Boxes(images, labels, table[:, 2:6], table[:, 6], keys, sizes)


def doubled_boxes(boxes: Boxes) -> np.ndarray:
    """[K, 2], the rows of objects that are one object annotated twice: of one image and class, and
    with an IoU of at least `SAME`."""
    order = np.lexsort((boxes.corners[:, 0], boxes.labels, boxes.images))
    corners, owners = boxes.corners[order], np.stack((boxes.images, boxes.labels), 1)[order]
    # The left sides of such boxes are at most this far apart.
    reach = (1 - SAME) * (corners[:, 2] - corners[:, 0])
    found, first, step = [], np.arange(len(order)), 0
    while len(first):
        step += 1
        first = first[first + step < len(order)]
        other = first + step
        close = (owners[first] == owners[other]).all(1)
        close &= corners[other, 0] - corners[first, 0] <= reach[first]
        first, other = first[close], other[close]
        overlaps = aligned_iou(*map(torch.from_numpy, (corners[first], corners[other])))
        same = overlaps.numpy() >= SAME
        found.append(np.stack((order[first[same]], order[other[same]]), 1))
    return np.concatenate(found) if found else np.zeros((0, 2), int)
