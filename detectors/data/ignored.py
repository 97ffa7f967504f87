"""Regions in which objects of no class are annotated, as training sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.canvas import MEAN_COLOUR
from detectors.data.records import Annotation, Box


def blanked(
    image: Tensor,
    annotations: Sequence[Annotation],
    scale: tuple[float, float] = (1.0, 1.0),
    corner: tuple[int, int] = (0, 0),
) -> Tensor:
    """An image, or a part of it, with its ignore regions of all classes in the mean colour.

    Objects that are not annotated there cannot be learned as background then, whatever the head
    and the augmentation. Annotated objects keep their pixels.

    Args:
        image: uint8 [3, H, W]; it is not modified.
        annotations: those of the image.
        scale: pixels of the image per pixel of its annotations, along x and y.
        corner: where the part begins in the image, along x and y.
    """
    regions = [item.box for item in annotations if item.category_id is None]
    if not regions:
        return image
    fill = torch.tensor(MEAN_COLOUR, dtype=image.dtype)[:, None, None]
    filled = image.clone()
    for box in regions:
        filled[:, *_pixels(box, scale, corner)] = fill
    for item in annotations:
        if not item.iscrowd:
            where = (slice(None), *_pixels(item.box, scale, corner))
            filled[where] = image[where]
    return filled


def _pixels(box: Box, scale: tuple[float, float], corner: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a part that a box touches."""
    x1, y1, x2, y2 = (side * factor for side, factor in zip(box, scale * 2, strict=True))
    left, top = corner

    def between(low: float, high: float, start: int) -> slice:
        return slice(max(0, math.floor(low) - start), max(0, math.ceil(high) - start))

    return between(y1, y2, top), between(x1, x2, left)
