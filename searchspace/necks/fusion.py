"""FSSD's step: several maps fused into one."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from searchspace.config import Config
from searchspace.geometry import (
    Levels,
    Size,
    along_axes,
    ceil_pool_size,
    conv_size,
    scaled,
    shown,
)
from searchspace.necks.levels import Index, chosen
from searchspace.necks.step import NECK_STEPS, NeckStep
from searchspace.necks.top_down import Channels


class Source(Config):
    """A map to fuse, and its channels after a 1x1 convolution."""

    level: Index
    channels: Channels


@NECK_STEPS.register
class Fuse(NeckStep):
    """Fuse several maps into one, from which growth continues (FSSD, section 3.2).

    Each passes a 1x1 convolution and ReLU and is resized to map `at`: coarser ones by bilinear
    interpolation between the centres of cells, finer ones by max pooling.

    Attributes:
        sources: the maps; their channels weight each source.
        how: `concat` joins channels; `sum` needs equal numbers.
        at: the map whose size the fused one has.
        norm_sources: batch norm instead of biases in the 1x1 convolutions.
        norm: batch norm after the fusion.
    """

    kind: Literal["fuse"] = "fuse"
    sources: tuple[Source, ...] = Field(min_length=1)
    how: Literal["concat", "sum"] = "concat"
    at: Index = 0
    norm_sources: bool = False
    norm: bool = True

    @model_validator(mode="after")
    def _sources_go_together(self) -> Fuse:
        levels = [source.level for source in self.sources]
        if len(set(levels)) < len(levels):
            raise ValueError(f"sources {levels}: name each map once")
        channels = [source.channels for source in self.sources]
        if self.how == "sum" and len(set(channels)) > 1:
            raise ValueError(
                f"a sum of {channels} channels: give all sources the same, or use concat"
            )
        return self

    def levels(self, before: Levels, width: float) -> Levels:
        at = chosen(before.maps, self.at, "at: level")
        for source in self.sources:
            pooling(chosen(before.maps, source.level, "source: level").size, at.size)
        last = len(before.maps) - 1
        if last not in [source.level for source in self.sources]:
            raise ValueError(
                f"level {last} is never used: add it to the sources, or remove the step that "
                "creates it"
            )
        if lost := sorted(before.refined - {source.level for source in self.sources}):
            raise ValueError(
                f"levels {lost}, refined by an earlier step, are never used: add them to the "
                "sources, or remove that step"
            )
        channels = [scaled(source.channels, width) for source in self.sources]
        fused = at.with_channels(channels[0] if self.how == "sum" else sum(channels))
        return replace(before, maps=(fused,), top=fused, refined=frozenset())

    def in_words(self) -> str:
        channels = ":".join(str(source.channels) for source in self.sources)
        return f"{'sum' if self.how == 'sum' else 'concatenation'} of {channels} channels"


def pooling(size: Size, target: Size) -> tuple[Size, bool]:
    """Window (and stride) of the max pooling from a map to `target` cells, and its ceil mode.

    Along an axis where the map is not larger, the window is 1. Raises ValueError if there is none.
    """
    for rule, ceil in ((_ceil_window, True), (_floor_window, False)):
        window = along_axes(rule, size, target)
        if all(window):
            return window, ceil
    raise ValueError(
        f"no pooling reduces {shown(size)} cells to {shown(target)}: fuse at another map, or "
        "remove this one"
    )


def _ceil_window(size: int, target: int) -> int:
    """The window that leaves `target` of `size` cells in ceil mode; 0 if there is none."""
    window = -(-size // target)
    return window if size <= target or ceil_pool_size(size, window, window) == target else 0


def _floor_window(size: int, target: int) -> int:
    """The window that leaves `target` of `size` cells without padding; 0 if there is none."""
    window = max(1, size // target)
    return window if size <= target or conv_size(size, window, window, padding=0) == target else 0
