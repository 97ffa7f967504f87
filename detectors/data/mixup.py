"""Mixup: an image and its objects laid half transparent over another (YOLOX, section 2.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detectors.data.mosaic import seen_on
from detectors.data.scene import Scene, joined
from searchspace.geometry import Canvas


def mixup(
    under: Scene,
    over: Scene,
    canvas: Canvas,
    scale: tuple[float, float],
    rng: np.random.Generator,
) -> Scene:
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
    side = canvas.size[0]
    size = max(1, round(rng.uniform(*scale) * side))
    mirrored = rng.random() < 0.5
    x, y = (-int(n) for n in rng.integers(max(0, size - side) + 1, size=2))
    added = over.placed(canvas).resized(size, size)
    added = added.mirrored() if mirrored else added
    added = seen_on(canvas, added.mapped((1, 1), (x, y), canvas.size))
    return joined(canvas.size, [_half(under), _half(added)])


def _half(scene: Scene) -> Scene:
    layers = tuple(replace(layer, opacity=layer.opacity / 2) for layer in scene.layers)
    return replace(scene, layers=layers)
