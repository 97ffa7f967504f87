"""Images, classes and annotations after validation, whatever format they were read from."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

Box = tuple[float, float, float, float]

LOOK_SIDE = 16
"""Rows and columns of an image's look."""


def as_typed(name: str) -> str:
    """A name of a class as it can be typed, in one of the Unicode forms that look alike."""
    return unicodedata.normalize("NFC", name.strip())


@dataclass(frozen=True)
class Category:
    """A foreground class. `id` is COCO's and may have gaps; networks use labels instead."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image file by absolute path; width and height in pixels, as the annotations use them."""

    id: int
    path: Path
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object, or one ignore region (`iscrowd`), of an image.

    A `difficult` object is trained on but not scored: a detection of it is neither right nor wrong.
    `category_id` is None for an ignore region of all classes, in which objects are not annotated.

    `box` is (x1, y1, x2, y2) in pixels with 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height.
    `area` in pixels is the file's, or that of the mask or the box if the file has none that can be
    right. `segmentation` is a list of polygons [x, y, x, y, ...] (lists or arrays of numbers), a
    run-length encoding {"counts", "size"}, or None.
    """

    id: int
    image_id: int
    category_id: int | None
    box: Box
    area: float
    iscrowd: bool
    segmentation: list | dict | None
    difficult: bool = False

    @property
    def scored(self) -> bool:
        """Whether a detector that misses it scores less."""
        return not (self.iscrowd or self.difficult)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Identifies the content of an image: its name relative to the image folder, its length in
    bytes, the SHA-256 of the content in hex, and what it looks like.

    Attributes:
        look: the image as stored, shrunk to 16x16 grey values, row by row, by which near-doubles
            are found (`detectors.data.doubles`); empty where it is not known.
    """

    name: str
    bytes: int
    sha256: str
    look: bytes = field(default=b"", repr=False)
