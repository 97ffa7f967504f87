"""Parts of TIFF files: only the strips or tiles that a window touches are read and decoded.

Strips and tiles are compressed each for itself (TIFF 6.0, sections 3 and 15). Those of a window are
copied into a small TIFF in memory, which Pillow decodes as it would decode the whole file: all
compressions that it knows give the same pixels.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import ExifTags, Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from searchspace.geometry import Window

Tag = ExifTags.Base

OFFSETS, COUNTS = (
    {True: Tag.TileOffsets, False: Tag.StripOffsets},
    {True: Tag.TileByteCounts, False: Tag.StripByteCounts},
)
"""By whether a file has tiles: the tags that say where its parts lie, and how long they are."""

KEPT = (258, 259, 262, 266, 277, 284, 317, 320, 332, 338, 339, 347, 529, 530, 531, 532)
"""Tags that decide how pixels are decoded: bits and number of samples, compression, order of bits,
colours, planes, predictor, palette, inks, extra samples, their format, JPEG's tables, and YCbCr."""

UNCOMPRESSED, OLD_JPEG = 1, 6
"""Compressions; the tables of the latter lie elsewhere in the file."""

SEPARATE = 2
"""A planar configuration: each band has strips or tiles of its own."""

MOST_PIXELS = 16e6
"""Of a strip or tile; in files with larger ones, a window is no small part."""


@dataclass(frozen=True)
class TiffParts:
    """Where the pixels of a TIFF lie.

    Attributes:
        width, height: of the image in pixels, as stored.
        cell: width and height of a tile, or of a strip.
        places: of each tile or strip, row by row, its offset and its length in bytes; band after
            band where these are separate.
        tags: those of `KEPT`, by number: type and value.
        prefix: the order of the bytes.
    """

    width: int
    height: int
    cell: tuple[int, int]
    tiled: bool
    places: tuple[tuple[int, int], ...]
    tags: dict[int, tuple[int, Any]]
    prefix: bytes

    @classmethod
    def of(cls, image: Image.Image) -> TiffParts | None:
        """Those of an image that Pillow has opened; None where it cannot be read by parts: it is no
        TIFF, is turned, or has too few parts."""
        if not isinstance(image, TiffImageFile):
            return None
        tags = image.tag_v2
        tiled = Tag.TileOffsets in tags
        offsets, counts = (tags.get(found[tiled]) for found in (OFFSETS, COUNTS))
        if tiled:
            cell = tags.get(Tag.TileWidth, 0), tags.get(Tag.TileLength, 0)
        else:
            cell = image.width, min(tags.get(Tag.RowsPerStrip, image.height), image.height)
        if not (isinstance(offsets, tuple) and isinstance(counts, tuple) and all(cell)):
            return None
        kept = {tag: (tags.tagtype[tag], tags[tag]) for tag in KEPT if tag in tags}
        places = tuple(zip(offsets, counts, strict=False))
        found = cls(*image.size, cell, tiled, places, kept, tags.prefix)._by_rows()
        return found if found._can_be_read and tags.get(Tag.Orientation, 1) == 1 else None

    def _by_rows(self) -> TiffParts:
        """The same with strips of a row each, where a single one has all pixels as they are."""
        if self.tiled or len(self.places) > 1 or self._value(Tag.Compression) != UNCOMPRESSED:
            return self
        [(offset, count)] = self.places
        step, rest = divmod(count, self.height)
        if rest:
            return self
        rows = tuple((offset + row * step, step) for row in range(self.height))
        return replace(self, cell=(self.width, 1), places=rows)

    @property
    def _can_be_read(self) -> bool:
        across, down = self._cells
        return (
            self._value(Tag.Compression) != OLD_JPEG
            and self.cell[0] * self.cell[1] <= MOST_PIXELS
            and len(self.places) == across * down * self._planes
        )

    @property
    def _cells(self) -> tuple[int, int]:
        """The number of tiles or strips along x and y."""
        return -(-self.width // self.cell[0]), -(-self.height // self.cell[1])

    @property
    def _planes(self) -> int:
        """The number of bands that have parts of their own."""
        separate = self._value(Tag.PlanarConfiguration) == SEPARATE
        return self._value(Tag.SamplesPerPixel) if separate else 1

    def _value(self, tag: int) -> int:
        return self.tags[tag][1] if tag in self.tags else 1

    def bands(self, pixels: float) -> Iterator[Window]:
        """Windows of the full width from top to bottom, of about so many pixels and of whole tiles
        or strips."""
        rows = max(1, int(pixels / (self.width * self.cell[1]))) * self.cell[1]
        for top in range(0, self.height, rows):
            yield Window(0, top, self.width, min(rows, self.height - top))

    def read(self, file: BinaryIO, window: Window) -> Image.Image:
        """A window as Pillow decodes it, loaded.

        Raises:
            Exception: Pillow's own, where the file is damaged.
        """
        (left, right), (top, bottom) = (
            (start // side, -(-(start + length) // side))
            for start, length, side in zip(window[:2], window[2:], self.cell, strict=True)
        )
        across, down = self._cells
        chosen = [
            self.places[plane * across * down + row * across + column]
            for plane, row, column in itertools.product(
                range(self._planes), range(top, bottom), range(left, right)
            )
        ]
        width, height = self.cell
        held = (
            min(self.width, right * width) - left * width,
            min(self.height, bottom * height) - top * height,
        )
        small = io.BytesIO(self._header(held, [count for _, count in chosen]))
        small.seek(0, io.SEEK_END)
        for offset, count in chosen:
            file.seek(offset)
            small.write(file.read(count))
        small.seek(0)
        x, y = window.left - left * width, window.top - top * height
        with Image.open(small, formats=("TIFF",)) as image:
            return image.crop((x, y, x + window.width, y + window.height))

    def _header(self, size: tuple[int, int], counts: list[int]) -> bytes:
        """What comes before the tiles or strips, one after another, of a TIFF of this size."""
        directory = ImageFileDirectory_v2(prefix=self.prefix)
        for tag, (kind, value) in self.tags.items():
            directory.tagtype[tag] = kind
            directory[tag] = value
        directory[Tag.ImageWidth], directory[Tag.ImageLength] = size
        if self.tiled:
            directory[Tag.TileWidth], directory[Tag.TileLength] = self.cell
        else:
            directory[Tag.RowsPerStrip] = self.cell[1]
        places = OFFSETS[self.tiled], COUNTS[self.tiled]
        starts = list(itertools.accumulate(counts[:-1], initial=0))
        for tag, values in zip(places, (starts, counts), strict=True):
            directory.tagtype[tag] = TiffTags.LONG
            directory[tag] = tuple(values)
        head = io.BytesIO()
        end = directory.save(head)
        if not self.tiled:  # Pillow has added the length of the header to offsets of strips.
            return head.getvalue()
        directory[places[0]] = tuple(end + start for start in starts)
        head = io.BytesIO()
        directory.save(head)
        return head.getvalue()
