"""Steps of SSD: the L2 norm of a map, and further pyramid levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from searchspace.config import Config
from searchspace.geometry import (
    Level,
    Levels,
    along_axes,
    conv_size,
    scaled,
    shown,
)
from searchspace.necks.levels import Index, chosen
from searchspace.necks.step import NECK_STEPS, NeckStep


@NECK_STEPS.register
class L2Norm(NeckStep):
    """Normalise one map by its channels' L2 norm, times a learned scale (SSD, section 3.1)."""

    kind: Literal["l2norm"] = "l2norm"
    level: Index = 0
    scale: float = Field(default=20.0, gt=0)

    def levels(self, before: Levels, width: float) -> Levels:
        return before.with_refined(self.level, chosen(before.maps, self.level))

    def in_words(self) -> str:
        """Nothing: nearly every neck has it."""
        return ""


class Growth(Config):
    """One further pyramid level: the convolution that creates it from `top`."""

    channels: int = Field(ge=8)
    kernel: int = Field(default=3, ge=1)
    stride: int = Field(default=2, ge=1)
    padding: int = Field(default=1, ge=0)

    def out_size(self, size: int) -> int:
        """Height of its output for a map of height `size`; widths follow the same rule."""
        return conv_size(size, self.kernel, self.stride, self.padding)


@NECK_STEPS.register
class Extend(NeckStep):
    """Grow further levels from `top`, each from the one before, until a map is one cell.

    Attributes:
        block: the layers of a level. `conv` is the convolution of `grow` and ReLU (FSSD's pyramids
            a and b); `bottleneck` is preceded by a 1x1 convolution to half the channels and ReLU
            (SSD's extra layers, FSSD's pyramid c); `separable` is pointwise, strided depthwise,
            pointwise (SSD-MobileNet); `plain` is the convolution without ReLU (GFL).
        norm: batch norm instead of biases.
        replaces: the first new level replaces the last map (FSSD's pyramids b and c).
        grow: the levels in order; those after a map of one cell are not built.
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
        """The levels that are built on `top`, with the convolution of each; raises ValueError for a
        convolution that does not fit its map."""
        built: list[tuple[Growth, Level]] = []
        for growth in self.grow:
            if top.cells == 1:
                break
            size = along_axes(growth.out_size, top.size)
            form = f"kernel {growth.kernel} with padding {growth.padding}"
            if min(size) < 1:
                raise ValueError(
                    f"{form} is too large for a map of {shown(top.size)} cells; raise the padding"
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
                f"would discard level {last}, which an earlier step just refined: remove one of "
                "the two"
            )
        kept = before.maps[:-1] if self.replaces and new else before.maps
        return replace(before, maps=kept + new, top=(new or (before.top,))[-1])

    @property
    def reads_top(self) -> bool:
        return True

    def in_words(self) -> str:
        """Nothing: nearly every neck has it."""
        return ""
