"""Mosaic: four images that meet at a random point (YOLOX, section 2.1), turned and sheared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from detectors.canvas import GREY
from detectors.data.transforms import MEAN_COLOUR, Sample, box_tensor
from detectors.data.warp import Warp
from detectors.features import size_of
from searchspace.geometry import Canvas, Size
from searchspace.training import Augment

MIN_VISIBLE = 0.25
"""An object is dropped if a smaller share of it is inside the mosaic."""


def mosaic(
    samples: Sequence[Sample], canvas: Canvas, augment: Augment, rng: np.random.Generator
) -> Sample:
    """Four images and their objects as one.

    Each image is resized as for evaluation, on a square network input, times one factor for all
    four. The images meet at a random point, one in each quadrant of the canvas. Then all is turned
    and sheared about the canvas's centre and shifted (`random_affine` of YOLOX, which scales in the
    same step). Uncovered pixels have the mean colour, or grey on a letterbox.

    Boxes become the boxes around their four moved corners, clipped to the canvas. An object keeps
    the `area` of its annotation, in square pixels of its original image: like any other resizing,
    the mosaic does not change whether an object is small for AP_small.

    Args:
        samples: four images with their targets: upper left, upper right, lower left, lower right.
        canvas: a square, and how images are resized.

    Returns:
        Image uint8 [3, side, side] and target. Objects too small to be learnt are kept here; a
        later transform removes them.
    """
    side = canvas.size[0]
    factor = rng.uniform(*augment.mosaic_scale)
    tile = Canvas((max(1, round(factor * side)),) * 2, canvas.resize)
    centre_x, centre_y = (round(side / 2 + factor * rng.uniform(-0.5, 0.5) * side) for _ in "xy")
    warp = Warp.drawn(augment, side, rng)
    painted = blank(canvas)
    targets = []
    for number, (image, target) in enumerate(samples):
        height, width = tile.content(size_of(image))
        corner = (
            centre_x - (width if number % 2 == 0 else 0),
            centre_y - (height if number < 2 else 0),
        )
        content = functional.resize(image, [height, width])
        if warp is None:
            paint(painted, content, *corner)
        else:
            warp.paint(painted, content, *corner)
        boxes = _moved(target["boxes"], size_of(image), (height, width), corner)
        boxes = boxes if warp is None else warp.boxes(boxes)
        targets.append(clipped({**target, "boxes": boxes}, side))
    return joined(painted, targets)


def blank(canvas: Canvas) -> Tensor:
    """An empty canvas, uint8 [3, H, W]."""
    colour = MEAN_COLOUR if canvas.resize == "stretch" else (GREY,) * 3
    fill = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    return fill.expand(3, *canvas.size).clone()


def paint(canvas: Tensor, image: Tensor, x: int, y: int) -> None:
    """Paint an image whose corner is at (x, y) onto a canvas [3, H, W], clipped to it."""
    (rows, columns), (height, width) = size_of(canvas), size_of(image)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, columns), min(y + height, rows)
    if left < right and top < bottom:
        canvas[:, top:bottom, left:right] = image[:, top - y : bottom - y, left - x : right - x]


def clipped(target: dict[str, Tensor], side: int) -> dict[str, Tensor]:
    """The objects of which enough lies on a square canvas, their boxes clipped to it."""
    boxes = target["boxes"].as_subclass(Tensor)
    inside = boxes.clamp(0, side)
    kept = _areas(inside) >= MIN_VISIBLE * _areas(boxes)
    others = {key: values[kept] for key, values in target.items() if key != "boxes"}
    return {"boxes": inside[kept], **others}


def joined(image: Tensor, targets: Sequence[dict[str, Tensor]]) -> Sample:
    """An image uint8 [3, H, W] with the objects of several targets on it."""
    boxes = torch.cat([target["boxes"].as_subclass(Tensor) for target in targets])
    rest = {k: torch.cat([t[k] for t in targets]) for k in targets[0] if k != "boxes"}
    return tv_tensors.Image(image), {"boxes": box_tensor(boxes, size_of(image)), **rest}


def _moved(boxes: Tensor, size: Size, content: Size, corner: tuple[int, int]) -> Tensor:
    """Boxes of an image of (height, width) after it was resized and got its corner (x, y)."""
    vertical, horizontal = (new / old for new, old in zip(content, size, strict=True))
    boxes = boxes.as_subclass(Tensor)
    return boxes * boxes.new_tensor((horizontal, vertical) * 2) + boxes.new_tensor(corner * 2)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)
