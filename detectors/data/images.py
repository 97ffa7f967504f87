"""Image files: fully decoded, converted to 8-bit RGB, checked against the declared size."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import struct
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torchvision.transforms.v2 import functional

from detectors.data.records import LOOK_SIDE
from searchspace.errors import InputError

Size = tuple[int, int]

# Raster formats only: opening an EPS or WMF file would start an interpreter on its content.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000")

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
_UNDONE_BY = {6: 8, 8: 6}  # the others are their own inverse


SAMPLES_PER_PIXEL = 277  # TIFF 6.0

MAX_MEGAPIXELS = 150.0
"""The default limit on images, which need three bytes a pixel in memory."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # What it logs is raised as well.
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns of attacks; ours comes before it refuses.

LARGE = 25.0
"""Megapixels from which images are decoded one at a time, whatever the number of threads."""

_LARGE = Lock()


class ImageError(InputError):
    """A file that is not an image, or is truncated or damaged; the message names the file."""


@dataclass(frozen=True)
class ImageFacts:
    """The facts of an image file: sizes as (width, height) in pixels before and after the EXIF
    orientation is applied, its length in bytes, the SHA-256 of its content in hex, its look
    (`ImageFile.look`), and what is odd about it in words."""

    stored: Size
    displayed: Size
    bytes: int
    sha256: str
    look: bytes = b""
    notes: tuple[str, ...] = ()

    def size_as(self, stated: tuple[int | None, int | None]) -> Size | None:
        """The size that agrees with what is stated of it, as displayed if both do; None if none
        does."""
        for size in (self.displayed, self.stored):
            if all(side in (None, own) for side, own in zip(stated, size, strict=True)):
                return size
        return None


def load_image(path: Path, width: int, height: int) -> torch.Tensor:
    """Read an image as uint8 [3, height, width], RGB.

    Grayscale is repeated over the channels, 16-bit grayscale is scaled to 8 bits, and alpha is
    dropped (the network sees the colours stored under it). The EXIF orientation is applied if the
    declared size is the displayed one; if it is only the stored one, the annotations ignore EXIF,
    and the pixels are left as stored.

    Raises:
        ImageError: the file is not an image, or is damaged.
        ValueError: neither its displayed nor its stored size is the declared one.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as handle:
        limit = max(MAX_MEGAPIXELS, width * height / 1e6)
        stored, orientation, _ = _decode(path, handle, limit)
    mismatch = size_mismatch((width, height), stored.size, _displayed(stored.size, orientation))
    if mismatch:
        raise InputError(f"{str(path)!r} {mismatch}")
    image = stored
    if _displayed(stored.size, orientation) == (width, height):
        image = _transposed(stored, orientation)
    return functional.pil_to_tensor(image).contiguous()


def image_tensor(image: Path | str | Image.Image | np.ndarray[Any, Any]) -> torch.Tensor:
    """An image as uint8 [3, height, width], RGB: a file as displayed, see `load_image`, or what
    others have decoded.

    Args:
        image: a file, a picture of Pillow, or uint8 [H, W, 3] in RGB or [H, W] in grey.

    Raises:
        ImageError: it is no image.
        OSError: the file cannot be opened.
    """
    if isinstance(image, (str, Path)):
        facts = inspect_image(Path(image))
        return load_image(Path(image), *facts.displayed)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or image.ndim < 2:
            raise ImageError(
                f"an array {image.dtype} {list(image.shape)} is no image: give uint8 [H, W, 3] in "
                "RGB, or [H, W] in grey"
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise ImageError(
            f"{type(image).__name__}: give the path of an image, a picture of Pillow, or an array"
        )
    return functional.pil_to_tensor(_transposed(_rgb(image), _orientation(image))).contiguous()


def inspect_image(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> ImageFacts:
    """Read an image file to its end, exactly as `load_image` will, and return its facts.

    Raises:
        ImageError: the file is not an image, or is damaged, or has more than `max_megapixels`.
        OSError: the file cannot be opened.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImageError(f"{str(path)!r} is not a regular file")
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        handle.seek(0)
        image, orientation, notes = _decode(path, handle, max_megapixels)
        length = os.fstat(handle.fileno()).st_size
    displayed = _displayed(image.size, orientation)
    return ImageFacts(image.size, displayed, length, digest, _look(image), notes)


def _look(image: Image.Image) -> bytes:
    sides = (LOOK_SIDE, LOOK_SIDE)
    return image.resize(sides, Image.Resampling.BILINEAR, reducing_gap=3.0).convert("L").tobytes()


def displayed_size(path: Path) -> Size | None:
    """Width and height of an image as displayed, from its header if that says so; None for a file
    that `inspect_image` refuses."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return _displayed(image.size, _orientation(image))
    except Exception:  # damaged, or very large: all of it decides
        try:
            return inspect_image(path).displayed
        except (ImageError, OSError):
            return None


def size_mismatch(
    declared: tuple[int | None, int | None], stored: Size, displayed: Size
) -> str | None:
    """Say how a declared (width, height) disagrees with both sizes of the file, or None."""
    if declared in (stored, displayed):
        return None
    found = f"{stored[0]}x{stored[1]}"
    if displayed != stored:
        found += f" as stored and {displayed[0]}x{displayed[1]} as displayed"
    sides = "x".join("?" if side is None else str(side) for side in declared)
    return f"is declared as {sides}, but the file holds {found}"


class _Decoded(NamedTuple):
    """The RGB pixels as stored, the EXIF orientation (1 to 8; others mean none), and notes."""

    pixels: Image.Image
    orientation: int
    notes: tuple[str, ...]


def _decode(path: Path, handle: BinaryIO, max_megapixels: float) -> _Decoded:
    if os.fstat(handle.fileno()).st_size == 0:
        raise ImageError(f"{str(path)!r} is empty (0 bytes)")
    try:
        with Image.open(handle, formats=FORMATS) as image:
            megapixels = image.width * image.height / 1e6
            if megapixels <= max_megapixels:
                with _LARGE if megapixels > LARGE else nullcontext():
                    return _stored_pixels(image)
    except UnidentifiedImageError as error:
        raise ImageError(_unknown(path, handle)) from error
    except Exception as error:  # on damaged bytes, Pillow's decoders raise all kinds of errors
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImageError(f"{str(path)!r} cannot be decoded ({reason})") from error
    raise ImageError(
        f"{str(path)!r} has {megapixels:,.0f} megapixels, more than the limit of "
        f"{max_megapixels:g} (cut it into tiles, or raise the limit by --max-megapixels)"
    )


def _unknown(path: Path, handle: BinaryIO) -> str:
    """What to say of a file that Pillow does not know."""
    handle.seek(0)
    if handle.read(4) in (b"II*\0", b"MM\0*"):
        return (
            f"{str(path)!r} is a TIFF whose bands or bits per pixel cannot be read (save it as "
            "8-bit RGB)"
        )
    return f"{str(path)!r} is not an image of a known format {FORMATS}"


def _stored_pixels(image: Image.Image) -> _Decoded:
    # Pillow rotates a TIFF while loading, and forgets its orientation: read that before loading.
    # Other formats may carry their metadata after the pixels: read it after loading.
    notes = _notes(image)
    if image.format == "TIFF":
        orientation = _orientation(image)
        image.load()
        undo = _UNDONE_BY.get(orientation, orientation)
        return _Decoded(_transposed(_rgb(image), undo), orientation, notes)
    image.load()
    return _Decoded(_rgb(image), _orientation(image), notes)


def _notes(image: Image.Image) -> tuple[str, ...]:
    """What is left out of an image, in words. The second picture of an MPO is a camera's own."""
    notes = []
    if image.format != "MPO" and getattr(image, "is_animated", False):
        notes.append("has several frames or pages, and only the first is read")
    if image.mode == "RGBX" or _bands(image) > len(image.getbands()):
        notes.append("has more than three bands, and only the first three are read")
    return tuple(notes)


def _bands(image: Image.Image) -> int:
    """The bands that a TIFF has by its header; 0 for other formats."""
    tags = getattr(image, "tag_v2", None) if image.format == "TIFF" else None
    return tags.get(SAMPLES_PER_PIXEL, 0) if tags else 0


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, struct.error):
        return 1  # damaged metadata says nothing about the pixels


def _displayed(stored: Size, orientation: int) -> Size:
    return stored[::-1] if orientation in (5, 6, 7, 8) else stored


def _transposed(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def _rgb(image: Image.Image) -> Image.Image:
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
