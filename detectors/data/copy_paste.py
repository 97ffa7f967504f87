"""Copy-paste of small objects: copies of each are pasted at random where the image has no object.

After "Augmentation for small object detection" (Kisantal et al. 2019), in the form of Manaiev 2022:
no pasted box touches another box or comes nearer to the border than a margin. Pastes are planned
from annotations alone and painted when the image is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detectors.data.masks import is_connected, read_mask, tight_box
from detectors.data.records import Annotation
from searchspace.training import CopyPaste

MARGIN = 5
"""Pixels between a pasted box and the border of the image."""

TRIES = 30
"""Positions that are tried for a paste before it is skipped."""

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Cutout:
    """A small object as it lies in its image.

    Attributes:
        index: which object of the image it is.
        corner: (x, y) of the mask's first pixel in the image.
        mask: bool [h, w], tight around the object; all True where it is cut by its box.
        density: the annotated area divided by the number of pixels of the mask: 1 if cut out by
            its mask, less if cut out by its box, which contains background too.
        turns: whether it may be rotated.
    """

    index: int
    corner: tuple[int, int]
    mask: Tensor
    density: float
    turns: bool


@dataclass(frozen=True)
class Paste:
    """A cutout, scaled and turned, at its new place.

    Attributes:
        scale: factor on its sides.
        degrees: rotation, clockwise.
        window: (x1, y1, x2, y2), the part of the transformed cutout that its mask fills.
        mask: bool [h, w], the transformed mask within that window.
        corner: (x, y) of the window in the image.
    """

    cutout: Cutout
    scale: float
    degrees: float
    window: tuple[int, int, int, int]
    mask: Tensor
    corner: tuple[int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x1, y1, x2, y2) in pixels, tight around what is painted."""
        (x, y), (height, width) = self.corner, self.mask.shape
        return x, y, x + width, y + height

    @property
    def area(self) -> float:
        """The area of the new annotation: the transformed mask's, in square pixels."""
        return self.cutout.density * int(self.mask.sum())


def cut_outs(
    objects: Sequence[Annotation], height: int, width: int, config: CopyPaste
) -> Iterator[Cutout]:
    """The objects of an image that may be pasted, by the rules of `CopyPaste`.

    Args:
        objects: the image's annotations without ignore regions.
        height, width: of the image.
    """
    for index, item in enumerate(objects):
        if item.area >= config.max_area:
            continue
        mask = None if config.source == "box" else read_mask(item, height, width)
        if mask is not None:
            cutout = _by_mask(index, item, mask)
        else:
            cutout = None if config.source == "mask" else _by_box(index, item)
        if cutout is not None:
            yield cutout


def plan_pastes(
    cutouts: Iterable[Cutout],
    occupied: np.ndarray,
    size: tuple[int, int],
    config: CopyPaste,
    rng: np.random.Generator,
) -> Iterator[Paste]:
    """Place every cutout `config.pastes` times; a paste that finds no room is skipped.

    Lazy: taking the first paste is enough to know whether there are any.

    Args:
        occupied: [M, 4], xyxy boxes that no paste may touch (ignore regions too).
        size: (height, width) of the image.
    """
    for cutout in (c for c in cutouts for _ in range(config.pastes)):
        scale = rng.uniform(1 - config.scale_jitter, 1 + config.scale_jitter)
        degrees = rng.uniform(-config.rotation, config.rotation) if cutout.turns else 0.0
        mask = transform(cutout.mask[None].float(), scale, degrees, "nearest")[0].bool()
        window = tight_box(mask)
        if window is None:
            continue
        x1, y1, x2, y2 = window
        corner = _vacant_corner((y2 - y1, x2 - x1), occupied, size, rng)
        if corner is None:
            continue
        paste = Paste(cutout, scale, degrees, window, mask[y1:y2, x1:x2], corner)
        occupied = np.vstack((occupied, paste.box))
        yield paste


def paint(image: Tensor, pastes: Sequence[Paste]) -> Tensor:
    """A copy of `image`, uint8 [3, H, W], with pastes that are cut from `image` itself."""
    painted = image.clone()
    for paste in pastes:
        (x, y), (height, width) = paste.cutout.corner, paste.cutout.mask.shape
        pixels = image[:, y : y + height, x : x + width].float()
        pixels = transform(pixels, paste.scale, paste.degrees, "bilinear").round().to(image.dtype)
        (x1, y1, x2, y2), (left, top, right, bottom) = paste.window, paste.box
        region = painted[:, top:bottom, left:right]
        region.copy_(torch.where(paste.mask, pixels[:, y1:y2, x1:x2], region))
    return painted


def transform(layers: Tensor, scale: float, degrees: float, mode: str) -> Tensor:
    """Scale and rotate [C, h, w] about its centre, into the smallest frame that holds all of it.

    Args:
        mode: `nearest` gives 0 outside the layers, `bilinear` repeats their border.
    """
    height, width = layers.shape[1:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    new_width, new_height = (
        max(1, math.ceil(scale * side - _ROUNDING))
        for side in (abs(cos) * width + abs(sin) * height, abs(sin) * width + abs(cos) * height)
    )
    # From the new frame's coordinates to the old one's, both -1..1 from edge to edge.
    inverse = torch.tensor(
        [
            [cos * new_width / width, sin * new_height / width, 0],
            [-sin * new_width / height, cos * new_height / height, 0],
        ]
    )
    inverse[:, :2] /= scale
    grid = functional.affine_grid(inverse[None], [1, 1, new_height, new_width], align_corners=False)
    padding = "zeros" if mode == "nearest" else "border"
    return functional.grid_sample(
        layers[None], grid, mode=mode, padding_mode=padding, align_corners=False
    )[0]


def _by_mask(index: int, item: Annotation, mask: Tensor) -> Cutout | None:
    """None if nothing is left of the mask, or it is in pieces because something occludes it."""
    box = tight_box(mask)
    if box is None:
        return None
    x1, y1, x2, y2 = box
    mask = mask[y1:y2, x1:x2]
    polygons = item.segmentation if isinstance(item.segmentation, list) else None
    whole = is_connected(mask) if polygons is None else len(polygons) == 1
    return Cutout(index, (x1, y1), mask, density=1.0, turns=True) if whole else None


def _by_box(index: int, item: Annotation) -> Cutout:
    x1, y1 = (math.floor(side) for side in item.box[:2])
    x2, y2 = (math.ceil(side) for side in item.box[2:])
    mask = torch.ones(y2 - y1, x2 - x1, dtype=torch.bool)
    return Cutout(index, (x1, y1), mask, density=item.area / mask.numel(), turns=False)


def _vacant_corner(
    window: tuple[int, int], occupied: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A corner (x, y) at which a window of (height, width) is clear of all boxes and the margin."""
    height, width = window
    room_y, room_x = (side - extent - 2 * MARGIN for side, extent in zip(size, window, strict=True))
    if room_x < 0 or room_y < 0:
        return None
    for _ in range(TRIES):
        x = MARGIN + int(rng.integers(room_x + 1))
        y = MARGIN + int(rng.integers(room_y + 1))
        apart = (
            (occupied[:, 0] >= x + width)
            | (occupied[:, 2] <= x)
            | (occupied[:, 1] >= y + height)
            | (occupied[:, 3] <= y)
        )
        if apart.all():
            return x, y
    return None
