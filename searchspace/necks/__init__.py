"""Steps of a neck. Each takes the levels it is given and says what levels it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from searchspace.geometry import (
    Level,
    Levels,
    Size,
    along_axes,
    ceil_pool_size,
    conv_size,
    scaled,
    shown,
)
from searchspace.necks.top_down import Aggregate, Channels, Pyramid
from searchspace.walk import Config

Index = Annotated[int, Field(ge=0)]


def chosen(maps: Sequence[Level], index: int, what: str = "level") -> Level:
    """Map `index` of those there are."""
    if index >= len(maps):
        raise ValueError(
            f"{what} {index} of {len(maps)} maps: count from 0, or tap the backbone at more rows"
        )
    return maps[index]


class L2Norm(Config):
    """Normalise one map by its channels' L2 norm, times a learned scale (SSD, section 3.1)."""

    kind: Literal["l2norm"] = "l2norm"
    level: Index = 0
    scale: float = Field(default=20.0, gt=0)

    def levels(self, before: Levels, width: float) -> Levels:
        return before.with_refined(self.level, chosen(before.maps, self.level))


class Growth(Config):
    """One further pyramid level: the convolution that makes it from `top`."""

    channels: int = Field(ge=8)
    kernel: int = Field(default=3, ge=1)
    stride: int = Field(default=2, ge=1)
    padding: int = Field(default=1, ge=0)

    def out_size(self, size: int) -> int:
        """Height of its output for a map of height `size`; widths follow the same rule."""
        return conv_size(size, self.kernel, self.stride, self.padding)


class Extend(Config):
    """Grow further levels from `top`, each from the one before, until a map is one cell.

    Attributes:
        block: what makes a level. `conv` is the convolution of `grow` and ReLU (FSSD's pyramids a
            and b); `bottleneck` has a 1x1 convolution to half the channels and ReLU in front of
            it (SSD's extra layers, FSSD's pyramid c); `separable` is pointwise, strided
            depthwise, pointwise (SSD-MobileNet); `plain` is the convolution without ReLU (GFL).
        norm: batch norm in place of biases.
        replaces: the first new level takes the place of the last map (FSSD's pyramids b and c).
        grow: what to grow, in order; levels behind a map of one cell are not built.
    """

    kind: Literal["extend"] = "extend"
    block: Literal["separable", "bottleneck", "conv", "plain"] = "separable"
    norm: bool = True
    replaces: bool = False
    grow: tuple[Growth, ...] = Field(
        default=(
            Growth(channels=512), Growth(channels=256), Growth(channels=256), Growth(channels=128)
        ),
        min_length=1,
    )  # fmt: skip

    def grown(self, top: Level, width: float) -> tuple[tuple[Growth, Level], ...]:
        """The levels that are really built on `top`, with the convolution of each."""
        built: list[tuple[Growth, Level]] = []
        for growth in self.grow:
            if top.cells == 1:
                break
            size = along_axes(growth.out_size, top.size)
            form = f"kernel {growth.kernel} with padding {growth.padding}"
            if min(size) < 1:
                raise ValueError(
                    f"{form} leaves nothing of a map of {shown(top.size)} cells; raise the padding"
                )
            if any(after > before for after, before in zip(size, top.size, strict=True)):
                raise ValueError(
                    f"{form} makes {shown(size)} cells of {shown(top.size)}; lower the padding"
                )
            top = Level(scaled(growth.channels, width), *size)
            built.append((growth, top))
        return tuple(built)

    def levels(self, before: Levels, width: float) -> Levels:
        new = tuple(level for _, level in self.grown(before.top, width))
        last = len(before.maps) - 1
        if self.replaces and new and last in before.refined:
            raise ValueError(
                f"replaces level {last}, which a step before it refines for nobody: leave out one "
                "of the two"
            )
        kept = before.maps[:-1] if self.replaces and new else before.maps
        return replace(before, maps=kept + new, top=(new or (before.top,))[-1])


class Source(Config):
    """A map that is fused, and the channels that a 1x1 convolution gives it first."""

    level: Index
    channels: Channels


class Fuse(Config):
    """Fuse several maps into one, from which growth continues (FSSD, section 3.2).

    Each goes through a 1x1 convolution and ReLU and is brought to the cells of map `at`: coarser
    ones by bilinear interpolation between the centres of cells, finer ones by max pooling.

    Attributes:
        sources: the maps; the ratio of their channels is that of their say.
        how: `concat` joins channels; `sum` needs equal ones.
        at: the map whose cells the fused one has.
        norm_sources: batch norm in place of the biases of the 1x1 convolutions.
        norm: batch norm over the fused map.
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
            raise ValueError(f"a sum of {channels} channels: give all sources the same, or concat")
        return self

    def levels(self, before: Levels, width: float) -> Levels:
        at = chosen(before.maps, self.at, "at: level")
        for source in self.sources:
            pooling(chosen(before.maps, source.level, "source: level").size, at.size)
        last = len(before.maps) - 1
        if last not in [source.level for source in self.sources]:
            raise ValueError(
                f"nothing would read the last map, level {last}: add it to the sources, or do not "
                "make it"
            )
        if lost := sorted(before.refined - {source.level for source in self.sources}):
            raise ValueError(
                f"nothing would read levels {lost} as a step before it refines them: add them to "
                "the sources, or leave that step out"
            )
        channels = [scaled(source.channels, width) for source in self.sources]
        fused = at.with_channels(channels[0] if self.how == "sum" else sum(channels))
        return replace(before, maps=(fused,), top=fused, refined=frozenset())


def pooling(size: Size, target: Size) -> tuple[Size, bool]:
    """Window (and stride) of the max pooling that takes a map to `target` cells, and its ceil mode.

    Along an axis on which the map has no more cells than that, the window is 1.
    """
    for rule, ceil in ((_ceil_window, True), (_floor_window, False)):
        window = along_axes(rule, size, target)
        if all(window):
            return window, ceil
    raise ValueError(
        f"no pooling takes {shown(size)} cells to {shown(target)}: fuse at another map, or leave "
        "this one out"
    )


def _ceil_window(size: int, target: int) -> int:
    """The window that leaves `target` of `size` cells in ceil mode; 0 where none does."""
    window = -(-size // target)
    return window if size <= target or ceil_pool_size(size, window, window) == target else 0


def _floor_window(size: int, target: int) -> int:
    """The window that leaves `target` of `size` cells without padding; 0 where none does."""
    window = max(1, size // target)
    return window if size <= target or conv_size(size, window, window, padding=0) == target else 0


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


class Deconvolve(Config):
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


class Join(Config):
    """Concatenate a map of the second path behind a map (dual path, section 4: `C`).

    Attributes:
        level: the map that gets more channels.
        side: which of the second path's maps.
        feeds_growth: growth continues from the joined map.
    """

    kind: Literal["join"] = "join"
    level: Index
    side: Index
    feeds_growth: bool = False

    def levels(self, before: Levels, width: float) -> Levels:
        own, side = chosen(before.maps, self.level), chosen_side(before, self.side)
        if own.size != side.size:
            sizes = ", ".join(shown(level.size) for level in before.side)
            raise ValueError(
                f"level {self.level} has {shown(own.size)} cells and side map {self.side} "
                f"{shown(side.size)}: join maps of equal size; the second path has {sizes}"
            )
        joined = own.with_channels(own.channels + side.channels)
        top = joined if self.feeds_growth else before.top
        return replace(before.with_map(self.level, joined), top=top)


class Split(Config):
    """Continue growth from a map of the second path (dual path, section 4: `S`)."""

    kind: Literal["split"] = "split"
    side: Index

    def levels(self, before: Levels, width: float) -> Levels:
        return replace(before, top=chosen_side(before, self.side))


def chosen_side(before: Levels, index: int) -> Level:
    """Map `index` of the second path."""
    if not before.side:
        raise ValueError("there are no side maps: set second_path of the backbone")
    return chosen(before.side, index, "side: map")


Step = Annotated[
    L2Norm | Extend | Fuse | Deconvolve | Join | Split | Pyramid | Aggregate,
    Field(discriminator="kind"),
]
