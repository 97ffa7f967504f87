"""Neck steps with a top-down path from coarse to fine maps: FPN and YOLOX's PAFPN."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from searchspace.geometry import Level, Levels, along_axes, conv_size, scaled, shown
from searchspace.necks.step import NECK_STEPS, NeckStep

Channels = Annotated[int, Field(ge=8)]


def check_order(maps: Sequence[Level]) -> None:
    """Raise ValueError if a map has more rows or columns than the one before it."""
    for number, (fine, coarse) in enumerate(itertools.pairwise(maps), start=1):
        if coarse.height > fine.height or coarse.width > fine.width:
            raise ValueError(
                f"level {number} has {shown(coarse.size)} cells and level {number - 1} before it "
                f"{shown(fine.size)}: maps must go from fine to coarse; lower the padding of what "
                "makes it"
            )


@NECK_STEPS.register
class Pyramid(NeckStep):
    """A feature pyramid network (Lin et al., FPN, 2017, section 3).

    Each map gets `channels` by a 1x1 convolution. Starting from the coarsest, each map is enlarged
    to the size of the next finer one (nearest neighbour) and added to it. Each ends with a 3x3
    convolution. Growth continues from the coarsest.

    Attributes:
        channels: channels of every map.
    """

    kind: Literal["pyramid"] = "pyramid"
    channels: Channels = 256

    def levels(self, before: Levels, width: float) -> Levels:
        check_order(before.maps)
        channels = scaled(self.channels, width)
        maps = tuple(level.with_channels(channels) for level in before.maps)
        return replace(before, maps=maps, top=maps[-1], refined=frozenset())

    def in_words(self) -> str:
        return f"pyramid of {self.channels} channels"


@NECK_STEPS.register
class Aggregate(NeckStep):
    """YOLOX's neck: from coarse to fine as in a pyramid, then from fine to coarse again (PAFPN).

    Maps are joined by concatenation and a cross-stage-partial stage. Growth continues from the
    coarsest.

    Attributes:
        channels: channels of the finest map; each coarser one has twice as many, at most `most`.
        blocks: blocks of each stage.
    """

    kind: Literal["aggregate"] = "aggregate"
    channels: Channels = 256
    most: Channels = 1024
    blocks: int = Field(default=1, ge=1)

    def channels_of(self, count: int, width: float) -> tuple[int, ...]:
        """The channels of `count` maps, finest first."""
        stock = (min(self.channels * 2**level, self.most) for level in range(count))
        return tuple(scaled(channels, width) for channels in stock)

    def strides(self, maps: Sequence[Level]) -> tuple[int, ...]:
        """The stride of the 3x3 convolution from each map to the next coarser one."""
        return tuple(_stride(*pair) for pair in itertools.pairwise(maps))

    def levels(self, before: Levels, width: float) -> Levels:
        if len(before.maps) < 2:
            raise ValueError("a single map has nothing to be joined with: tap the backbone twice")
        check_order(before.maps)
        self.strides(before.maps)
        channels = self.channels_of(len(before.maps), width)
        maps = tuple(
            level.with_channels(count) for level, count in zip(before.maps, channels, strict=True)
        )
        return replace(before, maps=maps, top=maps[-1], refined=frozenset())

    def in_words(self) -> str:
        return f"two-way pyramid from {self.channels} channels"


def _stride(fine: Level, coarse: Level) -> int:
    for stride in (1, 2):
        if along_axes(lambda side, s=stride: conv_size(side, 3, s, 1), fine.size) == coarse.size:
            return stride
    raise ValueError(
        f"no 3x3 convolution of stride 1 or 2 reduces {shown(fine.size)} cells to "
        f"{shown(coarse.size)}: choose another input_size or other taps, or use a step pyramid"
    )
