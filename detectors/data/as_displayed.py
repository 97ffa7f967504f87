"""Decoded images as they are displayed: their orientation, and 8-bit RGB."""

from __future__ import annotations

import struct

import numpy as np
from PIL import ExifTags, Image

from searchspace.errors import InputError

Size = tuple[int, int]
"""Width and height in pixels."""

# EXIF 2.32, tag 0x0112: the transform of the stored pixels before they are displayed.
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNDONE_BY = {6: 8, 8: 6}
"""The transform that undoes another one; the others are their own inverse."""


def orientation_of(image: Image.Image) -> int:
    """EXIF's number; 1, or one beyond 8, for pixels that are displayed as they are stored."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, struct.error):
        return 1  # damaged metadata says nothing about the pixels


def size_displayed(stored: Size, orientation: int) -> Size:
    """The size of an image as it is displayed."""
    return stored[::-1] if orientation in (5, 6, 7, 8) else stored


def transposed(image: Image.Image, orientation: int) -> Image.Image:
    """Stored pixels as they are displayed."""
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def rgb(image: Image.Image) -> Image.Image:
    """An image of any mode in 8-bit RGB; raises `InputError` for floating-point pixels."""
    if image.mode == "RGB":
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise InputError("floating-point pixels have no defined range; save them with 8 or 16 bits")
    if image.mode == "P":  # Pillow warns when it drops a palette's transparency in one step
        image = image.convert("RGBA")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255, rounded; plain conversion would clip everything above 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"pixels from {values.min()} to {values.max()} are not 16-bit grayscale")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
