"""SSD's augmentation of a scene (section 2.2), and what is trained on of it.

The draws have the distributions of torchvision's `RandomZoomOut` and `RandomIoUCrop`, whose code
this follows; torchvision's classes themselves draw from the global generator and go on to the
pixels at once. Kornia has neither of the two, and draws for a whole batch, so that a sample would
depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from detectors.canvas import place
from detectors.data.scene import Scene
from searchspace.augmentation import Augment
from searchspace.geometry import Canvas, InputSize, Size, canvas_of

OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""The least IoU of a crop with some object, each as likely; 1 is no crop after all."""

TRIALS = 40
"""Crops that are tried for one least IoU before another is drawn."""

SCALES = (0.3, 1.0)
"""Range of a crop's sides, as shares of the scene's."""

RATIOS = (0.5, 2.0)
"""Range of a crop's width divided by its height."""

CLOSEST_CROP = 1 / SCALES[0]
"""The factor by which the smallest crop enlarges its content."""

_ROUNDING = 1e-6


class Crop(NamedTuple):
    """A window of a scene in whole pixels, and which objects have their centre in it: bool [G]."""

    left: int
    top: int
    width: int
    height: int
    centred: np.ndarray


def augmented(scene: Scene, augment: Augment, canvas: Canvas, rng: np.random.Generator) -> Scene:
    """From a stored image or a mosaic to the network's input.

    Objects are removed if a crop leaves their centre out, or if they are too small on the input.
    """
    if rng.random() < augment.zoom_out:
        scene = scene.window(*zoomed_out(scene.size, augment.max_zoom, rng))
    if rng.random() < augment.crop and (crop := iou_crop(scene.boxes, scene.size, rng)):
        scene = cropped(scene, crop)
    if rng.random() < augment.flip:
        scene = scene.mirrored()
    scene = scene.placed(canvas)
    return scene.with_objects(_learnable(scene.boxes, least_side(augment, canvas)))


def zoomed_out(size: Size, most: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A window (left, top, width, height) that holds a scene of this size somewhere in it.

    Args:
        most: the largest factor on its sides.
    """
    height, width = size
    factor, across, down = rng.random(3).tolist()
    factor = 1 + factor * (most - 1)
    wide, high = int(width * factor), int(height * factor)
    return -int((wide - width) * across), -int((high - height) * down), wide, high


def iou_crop(boxes: np.ndarray, size: Size, rng: np.random.Generator) -> Crop | None:
    """A random crop that has a least IoU with an object whose centre is in it.

    Args:
        boxes: [G, 4], xyxy in pixels; without any there is no crop.
        size: height and width of what is cropped.
    """
    if not len(boxes):
        return None
    while (least := OVERLAPS[int(rng.integers(len(OVERLAPS)))]) < 1:
        crops = _crops(size, rng)
        centred = _centred(boxes, crops)
        overlaps = np.where(centred, _ious(crops, boxes), -1.0)
        found = centred.any(1) & (overlaps.max(1) >= least)
        if found.any():
            first = int(found.argmax())
            left, top, right, bottom = crops[first].astype(int).tolist()
            return Crop(left, top, right - left, bottom - top, centred[first])
    return None


def cropped(scene: Scene, crop: Crop) -> Scene:
    """The scene within a crop, with the objects that have their centre there, clipped to it."""
    seen = scene.window(*crop[:4])
    inside = seen.boxes.clip(0, (crop.width, crop.height) * 2)
    return seen.with_boxes(inside).with_objects(crop.centred)


def least_side(augment: Augment, canvas: Canvas) -> float:
    """The shorter side, in pixels of the input, below which an object is not trained on."""
    return max(1.0, augment.min_side * min(canvas.size)) if augment.min_side else 0.0


def evaluation_transform(input_size: InputSize | Canvas) -> Callable[[Tensor], Tensor]:
    """Places an image on the network's input."""
    return partial(place, canvas=canvas_of(input_size))


def _crops(size: Size, rng: np.random.Generator) -> np.ndarray:
    """[K, 4], xyxy: at most `TRIALS` crops in whole pixels, of allowed aspect ratios."""
    height, width = size
    wider, higher, across, down = rng.random((4, TRIALS))
    least, most = SCALES
    wide = (width * (least + (most - least) * wider)).astype(int)
    high = (height * (least + (most - least) * higher)).astype(int)
    allowed = (wide > 0) & (RATIOS[0] * high <= wide) & (wide <= RATIOS[1] * high)
    left, top = ((width - wide) * across).astype(int), ((height - high) * down).astype(int)
    return np.array((left, top, left + wide, top + high))[:, allowed].T


def _centred(boxes: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """[K, G], whether the centre of a box lies in a crop."""
    x, y = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    left, top, right, bottom = 2 * crops.T[:, :, None]
    return (left < x) & (x < right) & (top < y) & (y < bottom)


def _ious(crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[K, G], the IoU of each crop with each box."""
    corner = np.maximum(crops[:, None, :2], boxes[:, :2])
    sides = (np.minimum(crops[:, None, 2:], boxes[:, 2:]) - corner).clip(0)
    common = sides[..., 0] * sides[..., 1]
    ours, theirs = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (crops, boxes))
    return common / (ours[:, None] + theirs - common)


def _learnable(boxes: np.ndarray, least: float) -> np.ndarray:
    """[G], whether both sides of a box have the least length; any extent is enough for 0."""
    shorter = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf)
    return shorter >= least - _ROUNDING if least else shorter > 0
