"""Map sizes by arithmetic: the outputs of every part of a detector, before any image is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from searchspace.tiles import Size, Tiled, Window

InputSize = int | Size
"""Pixels: the side of a square, or height and width."""

N = TypeVar("N", int, float)


def both_axes(number: N | tuple[N, N]) -> tuple[N, N]:
    """A single number or a pair as a pair (vertical, horizontal)."""
    return number if isinstance(number, tuple) else (number, number)


def one_if_equal(number: N | tuple[N, N]) -> N | tuple[N, N]:
    """The inverse of `both_axes`: a single number if both are equal."""
    vertical, horizontal = both_axes(number)
    return vertical if vertical == horizontal else (vertical, horizontal)


Resize = Literal["stretch", "letterbox"]


@dataclass(frozen=True)
class Canvas:
    """The network's input, and how images of any size are placed on it.

    Attributes:
        size: height and width in pixels.
        resize: `stretch`: images cover the canvas, whatever their aspect ratio. `letterbox`: they
            keep their aspect ratio and lie in the top left corner; the rest is grey.
        tiles: how images are cut first, so that each part is placed on a canvas of its own; None
            for images that are placed whole.
    """

    size: Size
    resize: Resize = "stretch"
    tiles: Tiled | None = None

    def windows(self, image: Size) -> tuple[Window, ...]:
        """The parts of an image of this size that are placed on canvases of their own."""
        if self.tiles is None:
            return (Window(0, 0, image[1], image[0]),)
        return self.tiles.windows(image)

    def part(self, image: Size) -> Size:
        """Height and width of the tiles of an image of this size, or of the image itself."""
        return image if self.tiles is None else self.tiles.tile(image)

    def content(self, image: Size) -> Size:
        """Height and width in pixels that an image of this size has on the canvas, uncut."""
        if self.resize == "stretch":
            return self.size
        factor = min(own / side for own, side in zip(self.size, image, strict=True))
        height, width = (
            min(own, max(1, round(factor * side)))
            for own, side in zip(self.size, image, strict=True)
        )
        return height, width

    def shares(self, image: Size) -> tuple[float, float]:
        """The shares of the canvas, vertical and horizontal, that an image of this size covers."""
        (height, width), own = self.content(image), self.size
        return height / own[0], width / own[1]


def canvas_of(size: InputSize | Canvas) -> Canvas:
    """A canvas; an input size alone is one on which images are stretched."""
    return size if isinstance(size, Canvas) else Canvas(both_axes(size))


@dataclass(frozen=True)
class Level:
    """A feature map: its channels, and its height and width in cells."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        return self.height, self.width

    @property
    def cells(self) -> int:
        return self.height * self.width

    def with_channels(self, channels: int) -> Level:
        return replace(self, channels=channels)


@dataclass(frozen=True)
class Levels:
    """The maps that are passed through the neck.

    Attributes:
        maps: the levels that the head may read, finest first.
        top: the map from which further levels grow.
        side: the taps of the second path, finest first; empty without one.
        refined: indices of levels that a step has refined for the head; growth ignores that.
    """

    maps: tuple[Level, ...]
    top: Level
    side: tuple[Level, ...] = ()
    refined: frozenset[int] = frozenset()

    def with_map(self, index: int, level: Level) -> Levels:
        maps = list(self.maps)
        maps[index] = level
        return replace(self, maps=tuple(maps))

    def with_refined(self, index: int, level: Level) -> Levels:
        return replace(self.with_map(index, level), refined=self.refined | {index})


def along_axes(rule: Callable[..., int], *sizes: Size) -> Size:
    """A rule for one side, applied to heights and to widths."""
    height, width = (rule(*sides) for sides in zip(*sizes, strict=True))
    return height, width


def shown(size: Size) -> str:
    """A size in messages, e.g. `19x19`."""
    return f"{size[0]}x{size[1]}"


def conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output side of a convolution over a map of side `size`."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def every_second(size: int) -> int:
    """The number of rows when every second one is removed, starting with the second."""
    return conv_size(size, kernel=1, stride=2, padding=0)


def ceil_pool_size(size: int, kernel: int, stride: int) -> int:
    """Output side of an unpadded pooling in ceil mode."""
    return -(-(size - kernel) // stride) + 1


def scaled(channels: int, width: float) -> int:
    """`channels` times the width multiplier, rounded to multiples of 8 unless the width is 1."""
    if width == 1.0:
        return channels
    return max(8, int(channels * width + 4) // 8 * 8)
