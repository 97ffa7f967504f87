"""What the layers of a scene take of their sources, and where it goes on the canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.nn import functional

from detectors.data.pixels import Pixels
from detectors.data.scene import Layer, Rect
from searchspace.geometry import Size, Window

ROUNDING = 1e-6

_WHOLE = 1e-4
"""What an end may differ by from a whole pixel: far too little for a pixel's value to differ."""

Region = tuple[int, int, int, int]
"""(x1, y1, x2, y2) in whole pixels."""


class Axis(NamedTuple):
    """How pixels of an image get to an output along an axis, and what part of them.

    Attributes:
        scale, shift: an image's place p becomes scale * p + shift.
        low, high: the ends of what is seen, in the output.
        first, last: the first pixel of the image that is needed, and one past the last.
    """

    scale: float
    shift: float
    low: float
    high: float
    first: int
    last: int

    @classmethod
    def of(cls, scale: float, shift: float, ends: tuple[float, float], length: int) -> Axis:
        """The axis of an image of some length, seen between two ends of the output."""
        low, high = sorted((shift, scale * length + shift))
        low, high = max(low, ends[0]), min(high, ends[1])
        first, last = sorted(((low - shift) / scale, (high - shift) / scale))
        first, last = math.floor(first + ROUNDING), math.ceil(last - ROUNDING)
        return cls(scale, shift, low, high, max(0, first), min(length, last))

    @property
    def is_seen(self) -> bool:
        return self.high - self.low > ROUNDING and self.last > self.first

    @property
    def is_whole(self) -> bool:
        """Whether whole pixels of the image become whole pixels of the output."""
        ends = (self.scale * end + self.shift for end in (self.first, self.last))
        return all(
            abs(end - seen) < _WHOLE and abs(seen - round(seen)) < _WHOLE
            for end, seen in zip(sorted(ends), (self.low, self.high), strict=True)
        )


@dataclass(frozen=True)
class Turn:
    """How a layer that was brought to its final scale gets to its place on the canvas.

    Attributes:
        back: [2, 3], from (x, y, 1) on the canvas to pixels of the layer at its final scale.
        clip: where it is seen on the canvas.
    """

    back: np.ndarray
    clip: Rect


@dataclass(frozen=True)
class Piece:
    """What a layer takes of its source, and where it goes.

    Attributes:
        pixels: uint8 [3, h, w].
        axes: along y and x, to the canvas, or to the layer's final scale if it is turned.
        opacity: its share of each pixel.
    """

    pixels: Tensor
    axes: tuple[Axis, Axis]
    opacity: float
    turn: Turn | None = None

    @property
    def window(self) -> Region:
        """What is filled of the canvas, or at the final scale."""
        (top, bottom), (left, right) = (_whole(axis.low, axis.high) for axis in self.axes)
        return left, top, right, bottom

    @property
    def is_whole(self) -> bool:
        """Whether it is a part of its source that is only resized, perhaps mirrored."""
        return self.turn is None and self.opacity == 1 and all(axis.is_whole for axis in self.axes)

    def resized(self) -> Tensor:
        """A whole piece as it fills its window, uint8 [3, h, w]."""
        size = [round(axis.high) - round(axis.low) for axis in self.axes]
        image = functional.interpolate(
            self.pixels[None], size, mode="bilinear", antialias=True, align_corners=False
        )[0]
        return image.flip([1 + k for k, axis in enumerate(self.axes) if axis.scale < 0])


def piece_of(layer: Layer, size: Size, pixels: Pixels) -> Piece | None:
    """What a layer takes of its source; None if nothing of it is seen."""
    matrix = np.column_stack((layer.matrix[:, :2] / layer.source.scale(pixels), layer.matrix[:, 2]))
    x1, y1, x2, y2 = layer.clip
    clip = (max(0, x1), max(0, y1), min(size[1], x2), min(size[0], y2))
    kept = pixels.size(layer.source.record)
    turn = None
    if matrix[0, 1] or matrix[1, 0]:
        found = _turned(kept, matrix, clip)
        if found is None:
            return None
        axes, turn = found
    else:
        axes = _straight(kept, matrix, clip)
    down, across = axes
    if not (down.is_seen and across.is_seen):
        return None
    corner, end = (across.first, down.first), (across.last, down.last)
    window = Window(*corner, end[0] - corner[0], end[1] - corner[1])
    return Piece(layer.source.read(pixels, window), axes, layer.opacity, turn)


def _straight(image: Size, matrix: np.ndarray, clip: Rect) -> tuple[Axis, Axis]:
    """The axes, along y and x, of a layer that is only scaled and moved."""
    across, down = (
        Axis.of(float(matrix[k, k]), float(matrix[k, 2]), (clip[k], clip[k + 2]), length)
        for k, length in enumerate(image[::-1])
    )
    return down, across


def _turned(image: Size, matrix: np.ndarray, clip: Rect) -> tuple[tuple[Axis, Axis], Turn] | None:
    """A layer is made at its final scale as far as it is seen, and is sampled from there."""
    sides = np.array(image[::-1])
    linear, shift = matrix[:, :2], matrix[:, 2]
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    there = corners * sides @ linear.T + shift
    # `grid_sample` takes the two nearest pixels: an edge fades over half a pixel on either side.
    ends = np.array([
        np.maximum(there.min(0) - 1, clip[:2]),
        np.minimum(there.max(0) + 1, clip[2:]),
    ])  # fmt: skip
    if not (ends[1] > ends[0]).all():
        return None
    inverse = np.linalg.inv(linear)
    seen = (ends[corners, [0, 1]] - shift) @ inverse.T
    scale = np.minimum(1, np.linalg.norm(linear, axis=0))
    first = np.maximum(0, np.floor(seen.min(0) * scale) - 1)
    last = np.minimum(np.ceil(sides * scale), np.ceil(seen.max(0) * scale) + 1)
    across, down = (
        Axis.of(float(scale[k]), -float(first[k]), (0.0, float(last[k] - first[k])), int(sides[k]))
        for k in (0, 1)
    )
    back = np.column_stack((inverse, -inverse @ shift)) * scale[:, None]
    back[:, 2] -= first
    (left, top), (right, bottom) = ends.tolist()
    return (down, across), Turn(back, (left, top, right, bottom))


def _whole(low: float, high: float) -> tuple[int, int]:
    """The ends of the whole pixels that an interval touches."""
    return math.floor(low + ROUNDING), math.ceil(high - ROUNDING)
