"""MDSSD's step: fine maps get the context of coarse ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from searchspace.config import Config
from searchspace.geometry import (
    Level,
    Levels,
    Size,
    scaled,
    shown,
)
from searchspace.necks.levels import Index, chosen
from searchspace.necks.step import NeckStep
from searchspace.necks.top_down import Channels


class Enlargement(NamedTuple):
    """A transposed convolution from n cells to stride * n, less what the kernel exceeds the stride.

    Its padding is that excess: with stride 2, kernel 2 makes 2n cells, and kernel 3 makes 2n - 1.
    Both are told for the vertical and the horizontal axis.
    """

    kernel: Size
    stride: Size


class FusionBlock(Config):
    """One fusion of MDSSD: a coarse map is brought to the cells of a fine one and added to it.

    Attributes:
        level: the fine map, whose place the result takes.
        source: the coarse map; it stays as it is.
        deconv_channels: of each transposed convolution, coarsest first.
        sum_channels: of both branches where they are added.
        channels: of the result.
    """

    level: Index
    source: Index
    deconv_channels: tuple[Channels, ...] = (256, 256, 256)
    sum_channels: Channels = 256
    channels: Channels

    def enlargements(self, maps: Sequence[Level]) -> tuple[Enlargement, ...]:
        """The transposed convolutions, coarsest first."""
        target = chosen(maps, self.level).size
        source = chosen(maps, self.source, "source: level").size
        found = enlargements(source, target)
        if not found:
            raise ValueError(
                f"no doublings or whole factors take level {self.source} of {shown(source)} cells "
                f"to level {self.level} of {shown(target)}: choose a source with a half, a third, "
                "a quarter, ... of the cells a side"
            )
        if len(found) != len(self.deconv_channels):
            raise ValueError(
                f"deconv_channels {list(self.deconv_channels)}: from {shown(source)} to "
                f"{shown(target)} cells the number of transposed convolutions is {len(found)}; "
                "give as many channels"
            )
        return found


AxisEnlargement = tuple[int, int]
"""Kernel and stride along one axis."""


def enlargements(source: Size, target: Size) -> tuple[Enlargement, ...]:
    """The transposed convolutions between two maps, coarsest first; none where none lead there."""
    return enlarged(doublings, source, target) or enlarged(multiplications, source, target)


def enlarged(
    rule: Callable[[int, int], tuple[AxisEnlargement, ...]], source: Size, target: Size
) -> tuple[Enlargement, ...]:
    """A rule for one axis applied to both; none where it takes them unequally many steps."""
    vertical, horizontal = (rule(*sides) for sides in zip(source, target, strict=True))
    if len(vertical) != len(horizontal):
        return ()
    pairs = zip(vertical, horizontal, strict=True)
    return tuple(Enlargement(*zip(v, h, strict=True)) for v, h in pairs)


def doublings(source: int, target: int) -> tuple[AxisEnlargement, ...]:
    """Enlargements by 2, coarsest first, none where they do not lead to `target` cells."""
    found: list[AxisEnlargement] = []
    while target > source:
        found.append((2 + target % 2, 2))
        target = -(-target // 2)
    return tuple(reversed(found)) if target == source else ()


def multiplications(source: int, target: int) -> tuple[AxisEnlargement, ...]:
    """Enlargements by the prime factors of target / source, none where that is not whole."""
    factor, rest = divmod(target, source)
    if rest:
        return ()
    found: list[AxisEnlargement] = []
    prime = 2
    while factor > 1:
        if factor % prime:
            prime += 1
        else:
            found.append((prime, prime))
            factor //= prime
    return tuple(found)


class Deconvolve(NeckStep):
    """Give fine maps the context of coarse ones by transposed convolutions (MDSSD, section 3).

    Every block reads the maps as they are before this step.

    Attributes:
        scale: initial scale of the L2 norms of both branches.
    """

    kind: Literal["deconvolve"] = "deconvolve"
    blocks: tuple[FusionBlock, ...] = Field(min_length=1)
    scale: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _one_block_a_level(self) -> Deconvolve:
        levels = [block.level for block in self.blocks]
        if len(set(levels)) < len(levels):
            raise ValueError(f"blocks at levels {levels}: give each level one block")
        return self

    def levels(self, before: Levels, width: float) -> Levels:
        after = before
        for block in self.blocks:
            block.enlargements(before.maps)
            channels = scaled(block.channels, width)
            level = before.maps[block.level].with_channels(channels)
            after = after.with_refined(block.level, level)
        return after

    def in_words(self) -> str:
        pairs = "+".join(f"{block.source}-{block.level}" for block in self.blocks)
        return f"deconvolution of levels {pairs}"
