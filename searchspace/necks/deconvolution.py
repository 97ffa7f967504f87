"""MDSSD's step: coarse maps add context to fine ones."""

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
from searchspace.necks.step import NECK_STEPS, NeckStep
from searchspace.necks.top_down import Channels


class Enlargement(NamedTuple):
    """A transposed convolution from n cells to stride * n - (kernel - stride).

    The padding is kernel - stride: with stride 2, kernel 2 gives 2n cells, and kernel 3 gives
    2n - 1. Both are (vertical, horizontal).
    """

    kernel: Size
    stride: Size


class FusionBlock(Config):
    """One fusion of MDSSD: a coarse map is enlarged to the size of a fine one and added to it.

    Attributes:
        level: the fine map, which is replaced by the result.
        source: the coarse map, which is unchanged.
        deconv_channels: channels of each transposed convolution, coarsest first.
        sum_channels: channels of both branches when added.
        channels: channels of the result.
    """

    level: Index
    source: Index
    deconv_channels: tuple[Channels, ...] = (256, 256, 256)
    sum_channels: Channels = 256
    channels: Channels

    def enlargements(self, maps: Sequence[Level]) -> tuple[Enlargement, ...]:
        """The transposed convolutions, coarsest first; raises ValueError if there are none, or if
        `deconv_channels` has another length."""
        target = chosen(maps, self.level).size
        source = chosen(maps, self.source, "source: level").size
        found = enlargements(source, target)
        if not found:
            raise ValueError(
                f"level {self.source} of {shown(source)} cells cannot be enlarged to level "
                f"{self.level} of {shown(target)} by doublings or integer factors: choose a source "
                "with a half, a third, a quarter, ... of the cells per side"
            )
        if len(found) != len(self.deconv_channels):
            raise ValueError(
                f"deconv_channels {list(self.deconv_channels)}: from {shown(source)} to "
                f"{shown(target)} cells there are {len(found)} transposed convolutions; give one "
                "number for each"
            )
        return found


AxisEnlargement = tuple[int, int]
"""Kernel and stride along one axis."""


def enlargements(source: Size, target: Size) -> tuple[Enlargement, ...]:
    """The transposed convolutions between two maps, coarsest first; empty if impossible."""
    return enlarged(doublings, source, target) or enlarged(multiplications, source, target)


def enlarged(
    rule: Callable[[int, int], tuple[AxisEnlargement, ...]], source: Size, target: Size
) -> tuple[Enlargement, ...]:
    """A rule for one axis applied to both; empty if the axes need different numbers of steps."""
    vertical, horizontal = (rule(*sides) for sides in zip(source, target, strict=True))
    if len(vertical) != len(horizontal):
        return ()
    pairs = zip(vertical, horizontal, strict=True)
    return tuple(Enlargement(*zip(v, h, strict=True)) for v, h in pairs)


def doublings(source: int, target: int) -> tuple[AxisEnlargement, ...]:
    """Enlargements by 2, coarsest first; empty if they do not reach `target` cells."""
    found: list[AxisEnlargement] = []
    while target > source:
        found.append((2 + target % 2, 2))
        target = -(-target // 2)
    return tuple(reversed(found)) if target == source else ()


def multiplications(source: int, target: int) -> tuple[AxisEnlargement, ...]:
    """Enlargements by the prime factors of target / source; empty if that is not an integer."""
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


@NECK_STEPS.register
class Deconvolve(NeckStep):
    """Add context from coarse maps to fine ones by transposed convolutions (MDSSD, section 3).

    Every block reads the maps from before this step.

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
            raise ValueError(f"blocks at levels {levels}: give at most one block per level")
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
