"""Copy-paste of small objects: copies of each are pasted at random where the image has no object.

After "Augmentation for small object detection" (Kisantal et al. 2019), in the form of Manaiev 2022:
no pasted box touches another box or comes nearer to the border than a margin. Pastes are planned
from annotations alone and painted when the image is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detectors.data.masks import is_connected, read_mask, tight_box
from detectors.data.records import Annotation
from searchspace.augmentation import CopyPaste
from searchspace.geometry import Window

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


def paint(
    image: Tensor,
    pastes: Sequence[Paste],
    scale: tuple[float, float] = (1.0, 1.0),
    window: Window | None = None,
    read: Callable[[Window], Tensor] | None = None,
) -> Tensor:
    """A copy of `image`, uint8 [3, h, w], with pastes that are cut from `image` itself, or from the
    image that it is a window of.

    Args:
        scale: pixels of the image per pixel of the pastes, along x and y.
        window: where `image` lies; by default it is the whole image.
        read: reads a window of the whole image; needed if `image` is a part of it.
    """
    window = window or Window(0, 0, image.shape[2], image.shape[1])
    read = read or (lambda part: image[:, *part.slices])
    painted = image.clone()
    for paste in pastes:
        covered = tuple(
            (max(low, start), min(high, start + length))
            for (low, high), start, length in zip(
                _pixels(paste.box, scale), window[:2], window[2:], strict=True
            )
        )
        if any(low >= high for low, high in covered):
            continue
        (left, right), (top, bottom) = covered
        # The middles of these pixels within the paste, in its own pixels.
        x, y = (
            (torch.arange(*ends) + 0.5) / factor - corner
            for ends, factor, corner in zip(covered, scale, paste.corner, strict=True)
        )
        rows, columns = (
            at.long().clamp(0, side - 1) for at, side in zip((y, x), paste.mask.shape, strict=True)
        )
        found = _cut(read, paste, x, y, scale).round().to(image.dtype)
        inside = Window(left - window.left, top - window.top, right - left, bottom - top)
        region = painted[:, *inside.slices]
        region.copy_(torch.where(paste.mask[rows][:, columns], found, region))
    return painted


def _cut(
    read: Callable[[Window], Tensor],
    paste: Paste,
    x: Tensor,
    y: Tensor,
    scale: tuple[float, float],
) -> Tensor:
    """The pixels [3, h, w] of a paste at x [w] and y [h] from its corner, cut from an image that is
    read by window."""
    (left, top), (height, width) = paste.cutout.corner, paste.cutout.mask.shape
    columns, rows = _pixels((left, top, left + width, top + height), scale)
    sides = columns[1] - columns[0], rows[1] - rows[0]
    layers = read(Window(columns[0], rows[0], *sides)).float()
    inverse = _inverse((height, width), paste.scale, paste.degrees)[1]
    inverse[:, 2] += left, top
    inverse *= np.array(scale)[:, None]
    inverse[:, 2] -= columns[0], rows[0]
    return _sampled(layers, x + paste.window[0], y + paste.window[1], inverse, "bilinear")


def transform(layers: Tensor, scale: float, degrees: float, mode: str) -> Tensor:
    """Scale and rotate [C, h, w] about its centre, into the smallest frame that holds all of it.

    Args:
        mode: `nearest` gives 0 outside the layers, `bilinear` repeats their border.
    """
    height, width = layers.shape[1:]
    (rows, columns), inverse = _inverse((height, width), scale, degrees)
    return _sampled(layers, torch.arange(columns) + 0.5, torch.arange(rows) + 0.5, inverse, mode)


def _inverse(
    size: tuple[int, int], scale: float, degrees: float
) -> tuple[tuple[int, int], np.ndarray]:
    """The frame (height, width) of something scaled and turned, and the map [2, 3] back: from
    (x, y, 1) in the frame's pixels to its own."""
    height, width = size
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows, columns = (
        max(1, math.ceil(scale * side - _ROUNDING))
        for side in (abs(sin) * width + abs(cos) * height, abs(cos) * width + abs(sin) * height)
    )
    linear = np.array([[cos, sin], [-sin, cos]]) / scale
    shift = np.array([width, height]) / 2 - linear @ (columns / 2, rows / 2)
    return (rows, columns), np.column_stack((linear, shift))


def _sampled(layers: Tensor, x: Tensor, y: Tensor, inverse: np.ndarray, mode: str) -> Tensor:
    """Layers [C, h, w] at the places that a map [2, 3] gives to x [W] and y [H]: [C, H, W]."""
    height, width = layers.shape[1:]
    # From pixels to -1..1, from edge to edge.
    (a, b, c), (d, e, f) = (
        (2 * row / side - (0, 0, 1)).tolist()
        for row, side in zip(inverse, (width, height), strict=True)
    )
    grid = torch.stack((a * x + b * y[:, None] + c, d * x + e * y[:, None] + f), -1)
    padding = "zeros" if mode == "nearest" else "border"
    return functional.grid_sample(
        layers[None], grid[None], mode=mode, padding_mode=padding, align_corners=False
    )[0]


def _pixels(
    box: tuple[float, float, float, float], scale: tuple[float, float]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and one past the last pixel with its middle in a box, at least one pixel, on a copy
    of some scale: along x and along y."""
    lasts = [max(1, math.ceil(box[k + 2] * scale[k] - 0.5)) for k in (0, 1)]
    firsts = [min(math.ceil(box[k] * scale[k] - 0.5), last - 1) for k, last in enumerate(lasts)]
    return (firsts[0], lasts[0]), (firsts[1], lasts[1])


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
    x, y = MARGIN + rng.integers((room_x + 1, room_y + 1), size=(TRIES, 2)).T[..., None]
    apart = (
        (occupied[:, 0] >= x + width)
        | (occupied[:, 2] <= x)
        | (occupied[:, 1] >= y + height)
        | (occupied[:, 3] <= y)
    ).all(1)
    if not apart.any():
        return None
    first = int(apart.argmax())
    return int(x[first, 0]), int(y[first, 0])
