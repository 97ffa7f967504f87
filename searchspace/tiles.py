"""Tiles: which parts of an image a detector looks at, and how what it finds there is merged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from searchspace.config import Config
from searchspace.domains import Choice, Fixed, FloatRange
from searchspace.words import joined, on_axes, percent

Size = tuple[int, int]
"""Height and width."""

Side = Annotated[int, Field(ge=16, le=65536)]
"""Of a tile, in pixels of the image."""

Count = Annotated[int, Field(ge=1, le=64)]


class Window(NamedTuple):
    """A part of an image, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and its columns."""
        right, bottom = self.left + self.width, self.top + self.height
        return slice(self.top, bottom), slice(self.left, right)

    def contains(self, point: tuple[float, float]) -> bool:
        """Whether a point (x, y) lies in it or on its border."""
        x, y = point[0] - self.left, point[1] - self.top
        return 0 <= x <= self.width and 0 <= y <= self.height


class Merge(Config):
    """How the detections of an image's tiles become those of the image.

    Of two detections that cover each other by more than the threshold, the one with the lower score
    is removed. An image that is a single tile has nothing to merge.

    Attributes:
        by: what covers means. `nms`: intersection over union, as within a tile. `ios`: intersection
            over the smaller box, so that the part of an object that a border cut off is removed
            beside the whole object.
        threshold: the most that two detections may cover each other.
        per_class: detections of different classes do not remove each other.
    """

    by: Annotated[Literal["nms", "ios"], Choice("nms", "ios")] = "ios"
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    per_class: bool = True

    def in_words(self) -> str:
        names = {"nms": "NMS", "ios": "IoS"}
        across = "" if self.per_class else " across classes"
        return f"merged by {names[self.by]} {self.threshold:g}{across}"


class NoFirstLook(Config):
    """All tiles are looked at."""

    kind: Literal["none"] = "none"

    def in_words(self) -> str:
        return ""


class FirstLook(Config):
    """The whole image is looked at first, and then only the tiles that have the centre of a
    detection. What this look finds is kept if `whole` says so.

    Attributes:
        threshold: the least score of such a detection.
    """

    kind: Literal["score"] = "score"
    threshold: Annotated[float, FloatRange(0.02, 0.3, log=True), Field(gt=0, lt=1)] = 0.05

    def in_words(self) -> str:
        return f"where a first look finds {self.threshold:.2g}"


class NoTiles(Config):
    """Images are looked at whole."""

    kind: Literal["none"] = "none"

    def in_words(self) -> str:
        return ""


class Tiled(Config, ABC):
    """What all ways to cut images have in common; a subclass says where the tiles lie.

    Tiles cover the image and have one size; the last ones of a row and of a column are shifted
    inside. Each is placed on the network's input like an image.

    Attributes:
        overlap: of neighbouring tiles, as a share of their sides; the least where they do not fit.
        whole: the image is looked at as a whole, too, which finds the objects that are larger than
            a tile.
        first_look: which tiles are looked at; a space that names no kind looks at all.
        merge: see `Merge`.
        visible: the least share of an object's box that lies in a training crop if it is to be
            found there; with less, it is background there.
        with_objects: the share of training crops that are drawn around an object, where the image
            has any; the others lie anywhere.
    """

    overlap: Annotated[float, Choice(0.0, 0.1, 0.2), Field(ge=0, le=0.9)] = 0.2
    whole: Annotated[bool, Choice(False, True)] = False
    first_look: Annotated[NoFirstLook | FirstLook, Fixed("none"), Field(discriminator="kind")] = (
        NoFirstLook()
    )
    merge: Merge = Merge()
    visible: Annotated[float, Field(gt=0, le=1)] = 0.5
    with_objects: Annotated[float, Field(ge=0, le=1)] = 0.75

    @abstractmethod
    def tile(self, image: Size) -> Size:
        """Height and width of the tiles of an image of this size (height, width)."""

    @abstractmethod
    def starts(self, side: int, tile: int, axis: int) -> tuple[int, ...]:
        """Where the tiles begin along a side of an image, ascending.

        Args:
            axis: 0 along the height, 1 along the width.
        """

    def tiles(self, image: Size) -> tuple[Window, ...]:
        """The tiles of an image of this size (height, width), row by row."""
        height, width = self.tile(image)
        return tuple(
            Window(left, top, width, height)
            for top in self.starts(image[0], height, 0)
            for left in self.starts(image[1], width, 1)
        )

    def windows(self, image: Size) -> tuple[Window, ...]:
        """All that can be looked at of an image of this size (height, width): its tiles, then the
        whole image, if that is seen first or too, and is not a tile itself."""
        tiles = self.tiles(image)
        seen_whole = self.whole or self.threshold is not None
        if not seen_whole or len(tiles) == 1:
            return tiles
        return (*tiles, Window(0, 0, image[1], image[0]))

    @property
    def threshold(self) -> float | None:
        """That of the first look; None without one."""
        look = self.first_look
        return look.threshold if isinstance(look, FirstLook) else None

    def _in_words(self, tiles: str) -> str:
        whole = " and the whole image" if self.whole else ""
        overlap = f"overlap {percent(self.overlap)}" if self.overlap else ""
        look = self.first_look.in_words()
        return joined(f"{tiles}{whole}", look, overlap, self.merge.in_words())


class TileGrid(Tiled):
    """A grid of so many tiles, whatever the size of the image.

    Attributes:
        rows, columns: numbers of tiles; an image with fewer pixels has fewer tiles.
    """

    kind: Literal["grid"] = "grid"
    rows: Annotated[Count, Choice(2, 3, 4)] = 2
    columns: Annotated[Count, Choice(2, 3, 4)] = 2

    def tile(self, image: Size) -> Size:
        height, width = (
            min(side, math.ceil(side / (1 + (count - 1) * (1 - self.overlap))))
            for side, count in zip(image, (self.rows, self.columns), strict=True)
        )
        return height, width

    def starts(self, side: int, tile: int, axis: int) -> tuple[int, ...]:
        count = (self.rows, self.columns)[axis]
        if count == 1:
            return (0,)
        places = (k * (side - tile) // (count - 1) for k in range(count))
        return tuple(dict.fromkeys(places))

    def in_words(self) -> str:
        return self._in_words(f"{on_axes((self.rows, self.columns))} tiles")

    @model_validator(mode="after")
    def _cuts(self) -> TileGrid:
        if self.rows == self.columns == 1:
            raise ValueError(
                "rows 1 and columns 1: that is the whole image; raise one, or set kind to none"
            )
        return self


class TileSize(Tiled):
    """Tiles of one size in pixels, as many as an image needs. An image with a shorter side has
    tiles of that side.

    Attributes:
        side: of a square in pixels of the image, or (height, width).
    """

    kind: Literal["size"] = "size"
    side: Annotated[Side | tuple[Side, Side], Choice(320, 640, 960)] = 640

    def tile(self, image: Size) -> Size:
        height, width = map(min, image, self._sides)
        return height, width

    def starts(self, side: int, tile: int, axis: int) -> tuple[int, ...]:
        own = self._sides[axis]
        step = own - int(self.overlap * own)
        last = side - tile
        return (*range(0, last, step), last)

    @property
    def _sides(self) -> Size:
        return self.side if isinstance(self.side, tuple) else (self.side, self.side)

    def in_words(self) -> str:
        return self._in_words(f"tiles of {on_axes(self.side)} px")


Tiles = Annotated[NoTiles | TileGrid | TileSize, Field(discriminator="kind")]

Cutting = Annotated[TileGrid | TileSize, Field(discriminator="kind")]
"""Tiles that are cut."""
