"""Mosaic: four images that meet at a random point (YOLOX, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from detectors.data.transforms import MEAN_COLOUR, Sample, box_tensor
from detectors.features import size_of

MIN_VISIBLE = 0.25
"""An object is dropped if a smaller share of it is inside the mosaic."""


def mosaic(
    samples: Sequence[Sample], side: int, scale: tuple[float, float], rng: np.random.Generator
) -> Sample:
    """Four images and their objects as one.

    Each image is resized to the square network input, times one factor for all four, so that
    objects have the aspect ratios that they have in evaluation. The images meet at a random point,
    one in each quadrant of the canvas; uncovered pixels have the mean colour.

    Boxes are clipped to the canvas. An object keeps the `area` of its annotation, in square pixels
    of its original image: like any other resizing, the mosaic does not change whether an object is
    small for AP_small.

    Args:
        samples: four images with their targets: upper left, upper right, lower left, lower right.
        side: side of the canvas and of the network's input, in pixels.
        scale: range of the factor.

    Returns:
        Image uint8 [3, side, side] and target. Objects too small to be learnt are kept here; a
        later transform removes them.
    """
    factor = rng.uniform(*scale)
    tile = max(1, round(factor * side))
    centre_x, centre_y = (round(side / 2 + factor * rng.uniform(-0.5, 0.5) * side) for _ in "xy")
    fill = torch.tensor(MEAN_COLOUR, dtype=torch.uint8)[:, None, None]
    canvas = fill.expand(3, side, side).clone()
    targets = []
    for number, (image, target) in enumerate(samples):
        x = centre_x - (tile if number % 2 == 0 else 0)
        y = centre_y - (tile if number < 2 else 0)
        _place(canvas, functional.resize(image, [tile, tile]), x, y)
        targets.append(_moved(target, size_of(image), tile, (x, y), side))
    boxes = torch.cat([target["boxes"] for target in targets])
    rest = {k: torch.cat([t[k] for t in targets]) for k in targets[0] if k != "boxes"}
    boxes = box_tensor(boxes, (side, side))
    return tv_tensors.Image(canvas), {"boxes": boxes, **rest}


def _place(canvas: Tensor, image: Tensor, x: int, y: int) -> None:
    """Paint an image whose corner is at (x, y) onto the square canvas, clipped to it."""
    side, tile = canvas.shape[-1], image.shape[-1]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + tile, side), min(y + tile, side)
    if left < right and top < bottom:
        canvas[:, top:bottom, left:right] = image[:, top - y : bottom - y, left - x : right - x]


def _moved(
    target: dict[str, Tensor], size: tuple[int, int], tile: int, corner: tuple[int, int], side: int
) -> dict[str, Tensor]:
    """The objects of an image of (height, width) after it became a tile with this corner."""
    height, width = size
    boxes = target["boxes"].as_subclass(Tensor)
    boxes = boxes * boxes.new_tensor((tile / width, tile / height) * 2) + boxes.new_tensor(
        corner * 2
    )
    clipped = boxes.clamp(0, side)
    kept = _areas(clipped) >= MIN_VISIBLE * _areas(boxes)
    others = {key: values[kept] for key, values in target.items() if key != "boxes"}
    return {"boxes": clipped[kept], **others}


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)
