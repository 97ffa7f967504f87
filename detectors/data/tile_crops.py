"""Parts of large images that are trained on, at the scale of the tiles in which they are seen."""

from __future__ import annotations

import math

import numpy as np

from searchspace.geometry import Size, Window
from searchspace.tiles import Tiled


def crop_for(
    boxes: np.ndarray, image: Size, tiles: Tiled, rng: np.random.Generator
) -> Window | None:
    """A random part of an image, as large as its tiles; None for the whole image.

    The whole image is as likely as any tile, if it is looked at, too. Parts lie anywhere in the
    image, not only where the tiles of detection do.

    Args:
        boxes: [G, 4], xyxy, the objects of the image.
        image: its height and width.
    """
    height, width = tiles.tile(image)
    windows = tiles.windows(image)
    seen_whole = windows[-1].size == image
    if len(windows) == 1 or (seen_whole and rng.random() < 1 / len(windows)):
        return None
    around: np.ndarray | None = None
    if len(boxes) and rng.random() < tiles.with_objects:
        around = boxes[int(rng.integers(len(boxes)))]
    left, top = (
        _start(side, part, None if around is None else (around[k], around[k + 2]), rng)
        for k, (side, part) in enumerate(((image[1], width), (image[0], height)))
    )
    return Window(left, top, width, height)


def _start(side: int, part: int, ends: tuple[float, float] | None, rng: np.random.Generator) -> int:
    """Where a part of a side begins; it has all of an object, or its middle if that is longer."""
    low, high = 0, side - part
    if ends is not None:
        first, last = ends if ends[1] - ends[0] <= part else (sum(ends) / 2,) * 2
        low = min(max(low, math.ceil(last) - part), high)
        high = max(min(high, math.floor(first)), low)
    return int(rng.integers(low, high + 1))
