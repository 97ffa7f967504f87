"""Copy-paste of small objects: each is pasted again at random on vacant ground.

After "Augmentation for small object detection" (Kisantal et al.): no pasted box touches another
box or comes nearer to the border than a margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MARGIN = 5
TRIES = 30


@dataclass(frozen=True)
class Cutout:
    """A small object as it can be pasted.

    Attributes:
        index: which object of the image it is.
        pixels: uint8 [3, h, w], the box's crop.
        mask: bool [h, w], the object's pixels; all True where the data have boxes only.
        offset: (x, y) from the crop's corner to the object's box corner, below one pixel.
        size: (width, height) of the object's box in pixels.
    """

    index: int
    pixels: Tensor
    mask: Tensor
    offset: tuple[float, float]
    size: tuple[float, float]


def cut_out(image: Tensor, box: Sequence[float], index: int, mask: Tensor | None) -> Cutout | None:
    """Cut one object from an image; None where its mask is empty.

    Args:
        image: uint8 [3, H, W].
        box: (x1, y1, x2, y2) in pixels.
        mask: bool [H, W], or None to take the whole box.
    """
    x1, y1 = int(box[0]), int(box[1])
    x2, y2 = int(np.ceil(box[2])), int(np.ceil(box[3]))
    pixels = image[:, y1:y2, x1:x2]
    part = torch.ones(pixels.shape[1:], dtype=torch.bool) if mask is None else mask[y1:y2, x1:x2]
    if not part.any():
        return None
    return Cutout(
        index=index,
        pixels=pixels,
        mask=part,
        offset=(box[0] - x1, box[1] - y1),
        size=(box[2] - box[0], box[3] - box[1]),
    )


def paste(
    image: Tensor,
    cutouts: Sequence[Cutout],
    occupied: Tensor,
    pastes: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, list[int]]:
    """Paste every cutout `pastes` times where there is room.

    Args:
        image: uint8 [3, H, W]; left as it is.
        occupied: [M, 4], xyxy boxes that no paste may touch (crowd regions too).

    Returns:
        A new image, the pasted boxes [Q, 4], and for each the index of its object. A paste that
        finds no vacant place in 30 tries is left out.
    """
    image = image.clone()
    boxes = occupied.double().numpy().reshape(-1, 4)
    sources: list[int] = []
    for cutout in (c for c in cutouts for _ in range(pastes)):
        place = _vacant_place(cutout, boxes, image.shape[1:], rng)
        if place is None:
            continue
        x, y = place
        height, width = cutout.mask.shape
        region = image[:, y : y + height, x : x + width]
        region.copy_(torch.where(cutout.mask, cutout.pixels, region))
        boxes = np.vstack((boxes, _box_at(cutout, x, y)))
        sources.append(cutout.index)
    pasted = boxes[len(boxes) - len(sources) :]
    return image, torch.from_numpy(pasted).to(occupied.dtype), sources


def _vacant_place(
    cutout: Cutout, boxes: np.ndarray, side: Sequence[int], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A corner (x, y) for the cutout's crop, clear of all boxes and of the margin."""
    (height, width), (image_height, image_width) = cutout.mask.shape, side
    room_x, room_y = image_width - width - 2 * MARGIN, image_height - height - 2 * MARGIN
    if room_x < 0 or room_y < 0:
        return None
    for _ in range(TRIES):
        x = MARGIN + int(rng.integers(room_x + 1))
        y = MARGIN + int(rng.integers(room_y + 1))
        apart = (
            (boxes[:, 0] >= x + width)
            | (boxes[:, 2] <= x)
            | (boxes[:, 1] >= y + height)
            | (boxes[:, 3] <= y)
        )
        if apart.all():
            return x, y
    return None


def _box_at(cutout: Cutout, x: int, y: int) -> np.ndarray:
    x1, y1 = x + cutout.offset[0], y + cutout.offset[1]
    return np.array([x1, y1, x1 + cutout.size[0], y1 + cutout.size[1]])
