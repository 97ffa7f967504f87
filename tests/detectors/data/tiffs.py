"""TIFF files in tiles, which Pillow reads but does not write."""

from __future__ import annotations

import io
import itertools
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

DEFLATE, RGB, CHUNKY = 8, 2, 1


def write_tiled(
    path: Path,
    size: tuple[int, int],
    tile: int,
    pixels: Callable[[int, int, int, int], np.ndarray],
) -> None:
    """Write an image in tiles, one at a time.

    Args:
        size: width and height.
        tile: side of a tile, a multiple of 16.
        pixels: uint8 [tile, tile, 3] for (left, top, width, height).
    """
    corners = itertools.product(range(0, size[1], tile), range(0, size[0], tile))
    parts = [zlib.compress(pixels(x, y, tile, tile).tobytes(), 1) for y, x in corners]
    counts = [len(part) for part in parts]
    directory = ImageFileDirectory_v2()
    directory[256], directory[257] = size
    directory[258] = (8, 8, 8)
    directory[259], directory[262], directory[277], directory[284] = DEFLATE, RGB, 3, CHUNKY
    directory[322] = directory[323] = tile
    directory.tagtype[324] = directory.tagtype[325] = TiffTags.LONG
    directory[325] = tuple(counts)
    directory[324] = (0,) * len(parts)
    start = directory.save(io.BytesIO())
    directory[324] = tuple(itertools.accumulate(counts[:-1], initial=start))
    with path.open("wb") as file:
        directory.save(file)
        for part in parts:
            file.write(part)


def gradient(left: int, top: int, width: int, height: int) -> np.ndarray:
    """Pixels that differ from place to place, uint8 [height, width, 3]."""
    x, y = np.arange(left, left + width), np.arange(top, top + height)[:, None]
    bands = (x // 3 + y // 7, (x * y) // 1000 + 0 * x, x + 2 * y)
    return np.stack([band % 256 for band in bands], -1).astype(np.uint8)
