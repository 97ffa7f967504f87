"""Image files: fully decoded, converted to 8-bit RGB, checked against the declared size."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torchvision.transforms.v2 import functional

from detectors.canvas import resize_bands
from detectors.data.as_displayed import UNDONE_BY, orientation_of, rgb, size_displayed, transposed
from detectors.data.records import LOOK_SIDE
from detectors.data.tiff_parts import TiffParts
from searchspace.errors import InputError
from searchspace.geometry import Window

Size = tuple[int, int]

# Raster formats only: opening an EPS or WMF file would start an interpreter on its content.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000")

SAMPLES_PER_PIXEL = 277  # TIFF 6.0

MAX_MEGAPIXELS = 150.0
"""The default limit on images that are decoded whole, which takes Pillow four bytes a pixel."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # What it logs is raised as well.
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns of attacks; ours comes before it refuses.

LARGE = 25.0
"""Megapixels from which images are decoded one at a time, whatever the number of threads."""

_LARGE = Lock()

PICTURE_SIDE = 3072
"""Pixels of the longer side of a picture of a large image."""

BAND = 4e6
"""Pixels of the bands in which large images are read."""

_GAP = 3.0
"""How much larger than a look an image stays when it is first reduced by a whole number."""

NO_IMAGES = {
    b"version https://git-lfs": "a pointer of Git LFS (fetch the image with git lfs pull)",
    b"<!doctype html": "a web page (download the image again)",
    b"<html": "a web page (download the image again)",
}
"""What is found in place of images, by the beginning of the file in lower case."""


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
    image: torch.Tensor | None = None
    for top, band in image_bands(path, width, height):
        if band.shape[1] == height:
            return band
        if image is None:
            image = torch.empty(3, height, width, dtype=torch.uint8)
        image[:, top : top + band.shape[1]] = band
    assert image is not None
    return image


def image_bands(path: Path, width: int, height: int) -> Iterator[tuple[int, torch.Tensor]]:
    """What `load_image` reads, from top to bottom: the first row of each band, and the band, uint8
    [3, rows, width]. A large TIFF is decoded band by band, any other image as a whole, by Pillow.

    Raises:
        ImageError, ValueError, OSError: as `load_image`.
    """
    with path.open("rb") as handle:
        if parts := _large_parts(path, handle):
            _check_size(path, (width, height), (parts.width, parts.height))
            for window in parts.bands(BAND):
                yield window.top, _tensor(_part(path, handle, parts, window))
            return
        image = _as_declared(path, handle, width, height)
    rows = height if width * height <= BAND else max(1, int(BAND / width))
    for top in range(0, height, rows):
        yield top, _tensor(image.crop((0, top, width, min(top + rows, height))))


def load_picture(path: Path, width: int, height: int, side: int = PICTURE_SIDE) -> torch.Tensor:
    """What `load_image` reads, for people to look at. A large image is reduced, band by band, until
    its longer side has at most `side` pixels.

    Raises:
        ImageError, ValueError, OSError: as `load_image`.
    """
    if not is_large(width, height):
        return load_image(path, width, height)
    factor = min(1.0, side / max(width, height))
    reduced = max(1, round(factor * height)), max(1, round(factor * width))
    return resize_bands(image_bands(path, width, height), height, reduced)


def is_large(width: int, height: int) -> bool:
    """Whether an image of this size is read by parts or bands where that is possible."""
    return width * height > LARGE * 1e6


def load_part(path: Path, width: int, height: int, window: Window) -> torch.Tensor | None:
    """A window of what `load_image` reads, uint8 [3, h, w], of which only the strips or tiles of
    the file are decoded that it touches; None where the file has to be decoded whole: it is no
    large TIFF, its strips or tiles are large, or it is turned.

    Raises:
        ImageError, ValueError, OSError: as `load_image`.
    """
    with path.open("rb") as handle:
        parts = _large_parts(path, handle)
        if parts is None:
            return None
        _check_size(path, (width, height), (parts.width, parts.height))
        return _tensor(_part(path, handle, parts, window))


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
    return functional.pil_to_tensor(transposed(rgb(image), orientation_of(image))).contiguous()


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
        length = os.fstat(handle.fileno()).st_size
        if parts := _large_parts(path, handle):
            with _opened(path, handle) as image:
                notes = _notes(image)
            size = parts.width, parts.height
            return ImageFacts(size, size, length, digest, _look_of(path, handle, parts), notes)
        image, orientation, notes = _decode(path, handle, max_megapixels)
    displayed = size_displayed(image.size, orientation)
    return ImageFacts(image.size, displayed, length, digest, _look(image), notes)


def _look(image: Image.Image) -> bytes:
    sides = (LOOK_SIDE, LOOK_SIDE)
    return image.resize(sides, Image.Resampling.BILINEAR, reducing_gap=_GAP).convert("L").tobytes()


def _look_of(path: Path, handle: BinaryIO, parts: TiffParts) -> bytes:
    """The look of an image that is read by parts, equal to `_look` of the whole."""
    size = parts.width, parts.height
    across, down = (max(1, int(side / LOOK_SIDE / _GAP)) for side in size)
    reduced = Image.new("RGB", (-(-size[0] // across), -(-size[1] // down)))
    rows = max(1, int(BAND / size[0] / down)) * down
    for top in range(0, size[1], rows):
        window = Window(0, top, size[0], min(rows, size[1] - top))
        band = rgb(_part(path, handle, parts, window))
        reduced.paste(band.reduce((across, down)), (0, top // down))
    box = (0, 0, size[0] / across, size[1] / down)
    sides = (LOOK_SIDE, LOOK_SIDE)
    return reduced.resize(sides, Image.Resampling.BILINEAR, box).convert("L").tobytes()


def displayed_size(path: Path) -> Size | None:
    """Width and height of an image as displayed, from its header if that says so; None for a file
    that `inspect_image` refuses."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return size_displayed(image.size, orientation_of(image))
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


@contextmanager
def _opened(path: Path, handle: BinaryIO) -> Iterator[Image.Image]:
    """An image whose header was read; what goes wrong with it is an `ImageError`."""
    if os.fstat(handle.fileno()).st_size == 0:
        raise ImageError(f"{str(path)!r} is empty (0 bytes)")
    handle.seek(0)
    try:
        with Image.open(handle, formats=FORMATS) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ImageError(_unknown(path, handle)) from error
    except Exception as error:  # on damaged bytes, Pillow's decoders raise all kinds of errors
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImageError(f"{str(path)!r} cannot be decoded ({reason})") from error


def _large_parts(path: Path, handle: BinaryIO) -> TiffParts | None:
    """The parts of a large image that can be read by them."""
    with _opened(path, handle) as image:
        return TiffParts.of(image) if is_large(image.width, image.height) else None


def _part(path: Path, handle: BinaryIO, parts: TiffParts, window: Window) -> Image.Image:
    with _opened(path, handle):
        return rgb(parts.read(handle, window))


def _tensor(image: Image.Image) -> torch.Tensor:
    return functional.pil_to_tensor(image).contiguous()


def _as_declared(path: Path, handle: BinaryIO, width: int, height: int) -> Image.Image:
    """A decoded image of the declared size, see `load_image`."""
    limit = max(MAX_MEGAPIXELS, width * height / 1e6)
    stored, orientation, _ = _decode(path, handle, limit)
    displayed = size_displayed(stored.size, orientation)
    _check_size(path, (width, height), stored.size, displayed)
    return transposed(stored, orientation) if displayed == (width, height) else stored


def _check_size(path: Path, declared: Size, stored: Size, displayed: Size | None = None) -> None:
    if mismatch := size_mismatch(declared, stored, displayed or stored):
        raise InputError(f"{str(path)!r} {mismatch}")


def _decode(path: Path, handle: BinaryIO, max_megapixels: float) -> _Decoded:
    with _opened(path, handle) as image:
        megapixels = image.width * image.height / 1e6
        if megapixels <= max_megapixels:
            with _LARGE if is_large(image.width, image.height) else nullcontext():
                return _stored_pixels(image)
    raise ImageError(
        f"{str(path)!r} has {megapixels:,.0f} megapixels, more than the limit of "
        f"{max_megapixels:g} (cut it into tiles, or raise the limit by --max-megapixels)"
    )


def _unknown(path: Path, handle: BinaryIO) -> str:
    """What to say of a file that Pillow does not know."""
    handle.seek(0)
    start = handle.read(64).lstrip()
    for sign, words in NO_IMAGES.items():
        if start.lower().startswith(sign):
            return f"{str(path)!r} is {words}"
    if start[:4] in (b"II*\0", b"MM\0*"):
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
        orientation = orientation_of(image)
        image.load()
        undo = UNDONE_BY.get(orientation, orientation)
        return _Decoded(transposed(rgb(image), undo), orientation, notes)
    image.load()
    return _Decoded(rgb(image), orientation_of(image), notes)


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
