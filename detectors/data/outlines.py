"""The outlines of the four shapes of the generated set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from detectors.data.textures import Array


class Shape(NamedTuple):
    """A category: its outline about the origin, of circumradius about 1."""

    distance: Callable[[Array, Array], Array]  # signed distance to the outline, inside negative
    corners: Array  # (K, 2), x and y
    area: float


def _disc(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 1


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 1


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(y, np.abs(x) * math.sqrt(0.75) - y / 2) - 0.5


_ARM = 0.36  # half the width of a cross's arms, over half its length


def _cross(x: Array, y: Array) -> Array:
    long, short = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    return np.maximum(long - 1, short - _ARM)


def turned(points: Array, angles: Array) -> Array:
    """`points` (K, 2) rotated by each of `angles` (A,), as (A * K, 2)."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate(
        [points @ np.array([[c, s], [-s, c]]) for c, s in zip(cos, sin, strict=True)]
    )


_QUARTERS = np.arange(4) * np.pi / 2
SHAPES = {
    "disc": Shape(_disc, turned(np.array([[1.0, 0.0]]), np.arange(64) * np.pi / 32), np.pi),
    "square": Shape(_square, turned(np.array([[1.0, 1.0]]), _QUARTERS), 4.0),
    "triangle": Shape(
        _triangle, turned(np.array([[0.0, -1.0]]), np.arange(3) * np.pi / 1.5), 0.75 * np.sqrt(3)
    ),
    "cross": Shape(
        _cross, turned(np.array([[1.0, _ARM], [1.0, -_ARM]]), _QUARTERS), 4 * _ARM * (2 - _ARM)
    ),
}
"""By category: the ids 1..4 follow this order."""
