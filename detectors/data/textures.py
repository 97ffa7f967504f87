"""Procedural textures: cluttered coloured backgrounds, and mild fills for the objects on them.

Shapes: H, W are height and width in pixels, N a number of pixels. A canvas is float32
(3, H, W), in 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Field = Callable[[np.random.Generator, int, int], Array]

# Differences of colour are weighed as luminance weighs the channels (ITU-R BT.601): JPEG keeps
# brightness better than hue, and so do people.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def background(rng: np.random.Generator, size: int) -> Array:
    """A textured canvas (3, size, size) with a few distractors that belong to no category."""
    canvas = _tinted(rng, size, size, _colour(rng, 60, 195), rng.uniform(12, 34))
    canvas = _tinted(rng, size, size, canvas, rng.uniform(3, 12))
    for _ in range(rng.integers(2, 6)):
        _DISTRACTORS[rng.integers(len(_DISTRACTORS))](rng, canvas)
    return canvas


def fill(rng: np.random.Generator, height: int, width: int, surroundings: Array) -> Array:
    """A mildly textured fill (3, height, width) that stands out from `surroundings` (3, N).

    Of several random colours, the one whose contrast is closest to a random moderate value is
    taken.
    A colour's contrast is the 20th percentile of its distances to the pixels around the object, so
    it holds along nearly all of the outline.
    """
    colours = rng.uniform(15, 240, (32, 3, 1)).astype(np.float32)
    gaps = np.tensordot((colours - surroundings) ** 2, _LUMA, axes=(1, 0))
    contrasts = np.sqrt(np.sort(gaps, axis=1)[:, surroundings.shape[1] // 5])
    colour = colours[np.argmin(np.abs(contrasts - rng.uniform(32, 90)))]
    return _tinted(rng, height, width, colour[..., None], rng.uniform(3, 14))


def blend(canvas: Array, top: int, left: int, alpha: Array, colour: Array) -> None:
    """Lay `colour`, (3, 1, 1) or (3, h, w), over the canvas at (top, left), by `alpha` (h, w)."""
    height, width = alpha.shape
    window = canvas[:, top : top + height, left : left + width]
    window += alpha.astype(np.float32) * (colour - window)


def _tinted(
    rng: np.random.Generator, height: int, width: int, colour: Array, amplitude: float
) -> Array:
    """`colour` varied by a random field, each channel by up to `amplitude` grey levels."""
    field = _FIELDS[rng.integers(len(_FIELDS))](rng, height, width)
    tint = _colour(rng, 0.4 * amplitude, amplitude)
    return colour + field.astype(np.float32) * tint


def _colour(rng: np.random.Generator, low: float, high: float) -> Array:
    """Three random numbers as a colour (3, 1, 1)."""
    return rng.uniform(low, high, (3, 1, 1)).astype(np.float32)


# Fields: (H, W) in -1..1 ---------------------------------------------------------------------


def _noise(rng: np.random.Generator, height: int, width: int) -> Array:
    """Smooth noise of four octaves."""
    cells = rng.integers(2, 7)
    field = sum(
        0.6**octave * _enlarge(rng.uniform(-1, 1, (cells * 2**octave + 1,) * 2), height, width)
        for octave in range(4)
    )
    return field / np.abs(field).max()


def _enlarge(grid: Array, height: int, width: int) -> Array:
    """A square grid of values interpolated to (height, width), by squared-cosine weights."""

    def weights(length: int) -> Array:
        positions = np.linspace(0, len(grid) - 1, length)
        offsets = np.abs(positions[:, None] - np.arange(len(grid)))
        return np.cos(np.pi / 2 * np.minimum(offsets, 1)) ** 2

    return weights(height) @ grid @ weights(width).T


def _stripes(rng: np.random.Generator, height: int, width: int) -> Array:
    """A grating, from sinusoidal to nearly square."""
    along, _ = _axes(rng, height, width)
    sharpness = rng.uniform(0.5, 3)
    wave = np.sin(2 * math.pi * along / rng.uniform(7, 40))
    return np.tanh(sharpness * wave) / math.tanh(sharpness)


def _checker(rng: np.random.Generator, height: int, width: int) -> Array:
    """A soft checkerboard."""
    along, across = _axes(rng, height, width)
    period = rng.uniform(14, 56)
    wave = np.sin(2 * math.pi * along / period) * np.sin(2 * math.pi * across / period)
    sharpness = rng.uniform(0.5, 3)
    return np.tanh(sharpness * wave) / math.tanh(sharpness)


def _gradient(rng: np.random.Generator, height: int, width: int) -> Array:
    """A straight or a radial ramp over the whole window."""
    along, across = _axes(rng, height, width)
    ramp = along if rng.random() < 0.5 else np.hypot(along, across)
    return 2 * (ramp - ramp.min()) / np.ptp(ramp) - 1


def _speckle(rng: np.random.Generator, height: int, width: int) -> Array:
    """White noise, lightly smoothed."""
    field = rng.uniform(-1, 1, (height + 1, width + 1))
    return (field[1:, 1:] + field[:-1, 1:] + field[1:, :-1] + field[:-1, :-1]) / 2.5


def _axes(rng: np.random.Generator, height: int, width: int) -> tuple[Array, Array]:
    """Pixel coordinates (H, W) along two perpendicular axes, rotated and shifted at random."""
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    y = np.arange(height, dtype=np.float32)[:, None] - rng.uniform(0, height)
    x = np.arange(width, dtype=np.float32)[None] - rng.uniform(0, width)
    return x * cos + y * sin, y * cos - x * sin


_FIELDS: tuple[Field, ...] = (_noise, _stripes, _checker, _gradient, _speckle)

# Distractors, drawn into the canvas ----------------------------------------------------------


def _line(rng: np.random.Generator, canvas: Array) -> None:
    """A thin straight line between two random points."""
    ends = rng.uniform(2, np.array(canvas.shape[1:]) - 4, (2, 2))
    top, left = np.floor(ends.min(axis=0)).astype(int) - 2
    height, width = np.ceil(np.ptp(ends, axis=0)).astype(int) + 5
    (y0, x0), (dy, dx) = ends[0] - (top, left), ends[1] - ends[0]
    y, x = np.arange(height)[:, None] - y0, np.arange(width)[None] - x0
    nearest = np.clip((x * dx + y * dy) / (dx**2 + dy**2), 0, 1)
    distance = np.hypot(x - nearest * dx, y - nearest * dy) - rng.uniform(0.4, 1.3)
    colour = _other_colour(rng, canvas, *ends[0].astype(int))
    blend(canvas, top, left, np.clip(0.5 - distance, 0, 1), colour)


def _blob(rng: np.random.Generator, canvas: Array) -> None:
    """A smooth, elongated and rather transparent spot."""
    phases = rng.uniform(0, 2 * np.pi, 2)
    _spot(rng, canvas, lambda angle: 0.7 + np.sin(np.outer(angle, [2, 3]) + phases) @ [0.2, 0.1])


def _polygon(rng: np.random.Generator, canvas: Array) -> None:
    """A jagged spot with five to eight irregular corners."""
    corners = rng.integers(5, 9)
    angles, radii = rng.uniform(-np.pi, np.pi, corners), rng.uniform(0.35, 1, corners)
    _spot(rng, canvas, lambda angle: np.interp(angle, angles, radii, period=2 * np.pi))


def _spot(rng: np.random.Generator, canvas: Array, outline: Callable[[Array], Array]) -> None:
    """Draw a spot with radius `outline(angle)` in 0..1, scaled, flattened and rotated."""
    radius = rng.uniform(7, 30)
    side = 2 * int(np.ceil(radius)) + 1
    offset = np.arange(side) - side // 2
    turn, flatness = rng.uniform(0, 2 * np.pi), rng.uniform(1.6, 2.6)
    x = (offset[None] * np.cos(turn) + offset[:, None] * np.sin(turn)) / radius
    y = (offset[:, None] * np.cos(turn) - offset[None] * np.sin(turn)) / radius * flatness
    inside = outline(np.arctan2(y, x).ravel()).reshape(side, side) - np.hypot(x, y)
    alpha = np.clip(0.5 + inside * radius, 0, 1) * rng.uniform(0.4, 0.9)
    top, left = rng.integers(0, np.array(canvas.shape[1:]) - side + 1)
    colour = _other_colour(rng, canvas, top + side // 2, left + side // 2)
    blend(canvas, top, left, alpha, colour)


def _other_colour(rng: np.random.Generator, canvas: Array, y: int, x: int) -> Array:
    """The colour of the canvas at a pixel, shifted by a moderate random step."""
    return np.clip(canvas[:, y, x, None, None] + _colour(rng, -70, 70), 0, 255)


_DISTRACTORS = (_line, _blob, _polygon)
