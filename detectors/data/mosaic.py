"""Mosaic: four images that meet at a random point (YOLOX, section 2.1), turned and sheared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from detectors.data.scene import Scene, joined
from detectors.data.warp import Warp
from searchspace.augmentation import Augment
from searchspace.geometry import Canvas

MIN_VISIBLE = 0.25
"""An object is dropped if a smaller share of it is inside the mosaic."""


def mosaic(
    scenes: Sequence[Scene], canvas: Canvas, augment: Augment, rng: np.random.Generator
) -> Scene:
    """Four images and their objects as one.

    Each image is resized as for evaluation, on a square network input, times one factor for all
    four. The images meet at a random point, one in each quadrant of the canvas. Then all is turned
    and sheared about the canvas's centre and shifted (`random_affine` of YOLOX, which scales in the
    same step).

    Boxes become the boxes around their four moved corners, clipped to the canvas. An object keeps
    the `area` of its annotation, in square pixels of its original image: like any other resizing,
    the mosaic does not change whether an object is small for AP_small.

    Args:
        scenes: four images: upper left, upper right, lower left, lower right.
        canvas: a square, and how images are resized.

    Returns:
        A scene of the canvas's size. Objects too small to be learnt are kept here; a later
        transform removes them.
    """
    side = canvas.size[0]
    factor = rng.uniform(*augment.mosaic_scale)
    tile = Canvas((max(1, round(factor * side)),) * 2, canvas.resize)
    centre_x, centre_y = (round(side / 2 + factor * rng.uniform(-0.5, 0.5) * side) for _ in "xy")
    warp = Warp.drawn(augment, side, rng)
    tiles = []
    for number, scene in enumerate(scenes):
        content = scene.resized(*tile.content(scene.size))
        height, width = content.size
        corner = (
            centre_x - (width if number % 2 == 0 else 0),
            centre_y - (height if number < 2 else 0),
        )
        placed = content.mapped((1, 1), corner, canvas.size)
        tiles.append(seen_on(canvas, placed if warp is None else warp.moved(placed)))
    return joined(canvas.size, tiles)


def seen_on(canvas: Canvas, scene: Scene) -> Scene:
    """What lies on a square canvas, and the objects of which enough is seen, clipped to it."""
    side = canvas.size[0]
    layers = tuple(layer.clipped((0, 0, side, side)) for layer in scene.layers)
    return replace(scene, layers=layers, size=canvas.size).visible(MIN_VISIBLE)
