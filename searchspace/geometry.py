"""Map sizes by arithmetic: what every part of a detector puts out, before any image is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Level:
    """A feature map: its channels and its side in cells (inputs are square)."""

    channels: int
    size: int


@dataclass(frozen=True)
class Levels:
    """What flows through the neck.

    Attributes:
        maps: what the head may read, finest first.
        top: where growth continues.
        side: the taps of the second path, finest first; empty without one.
        refined: indices of maps that a step has refined for the head; growth does not read that.
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


def conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output side of a convolution over a map of side `size`."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def ceil_pool_size(size: int, kernel: int, stride: int) -> int:
    """Output side of an unpadded pooling in ceil mode."""
    return -(-(size - kernel) // stride) + 1


def scaled(channels: int, width: float) -> int:
    """`channels` times the width multiplier, in multiples of 8 unless the width is 1."""
    if width == 1.0:
        return channels
    return max(8, int(channels * width + 4) // 8 * 8)
