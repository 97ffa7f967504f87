"""Mixup: an image and its objects laid half transparent over another (YOLOX, section 2.1)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from detectors.canvas import place
from detectors.data.mosaic import blank, clipped, joined, paint
from detectors.data.transforms import Sample
from searchspace.geometry import Canvas


def mixup(
    under: Sample,
    over: Sample,
    canvas: Canvas,
    scale: tuple[float, float],
    rng: np.random.Generator,
) -> Sample:
    """The mean of two images, with the objects of both.

    As in YOLOX, the second image is placed on a canvas, scaled by a random factor, mirrored in one
    case of two, and cut at random to the canvas's size if it is larger; a smaller one lies in the
    upper left corner. Objects of it that are mostly cut off are dropped as in a mosaic.

    Args:
        under: an image of the canvas's size.
        over: an image of any size.
        canvas: a square, and how images are resized.
        scale: range of the factor.
    """
    image, target = over
    side = canvas.size[0]
    size = max(1, round(rng.uniform(*scale) * side))
    mirrored = rng.random() < 0.5
    x, y = (-int(n) for n in rng.integers(max(0, size - side) + 1, size=2))
    pixels = functional.resize(place(image.as_subclass(Tensor), canvas), [size, size])
    boxes = place(target["boxes"], canvas).as_subclass(Tensor) * (size / side)
    if mirrored:
        pixels = pixels.flip(-1)
        boxes = torch.stack((size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]), -1)
    layer = blank(canvas)
    paint(layer, pixels, x, y)
    moved = clipped({**target, "boxes": boxes + boxes.new_tensor((x, y) * 2)}, side)
    mixed = (under[0].as_subclass(Tensor).short() + layer.short()).div(2, rounding_mode="floor")
    return joined(mixed.to(torch.uint8), [under[1], moved])


def has_objects(sample: Sample) -> bool:
    """Whether there is anything on an image to learn."""
    return len(sample[1]["labels"]) > 0
