"""Steps of a neck. Each takes the levels it is given and says what levels it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from searchspace.geometry import Level, Levels, conv_size, scaled
from searchspace.space import Config


class L2Norm(Config):
    """Normalise one map by its channels' L2 norm, times a learned scale (SSD, section 3.1)."""

    kind: Literal["l2norm"] = "l2norm"
    level: int = Field(default=0, ge=0)
    scale: float = Field(default=20.0, gt=0)

    def levels(self, before: Levels, width: float) -> Levels:
        if self.level >= len(before.maps):
            raise ValueError(f"l2norm: level {self.level} of {len(before.maps)} maps")
        return before


class Growth(Config):
    """One further pyramid level: the convolution that makes it from `top`."""

    channels: int = Field(ge=8)
    kernel: int = Field(default=3, ge=1)
    stride: int = Field(default=2, ge=1)
    padding: int = Field(default=1, ge=0)


class Extend(Config):
    """Grow further levels from `top`, each from the one before, until a map is one cell.

    Attributes:
        block: `separable` is pointwise, strided depthwise, pointwise (SSD-MobileNet).
        grow: what to grow, in order; levels behind a map of one cell are not built.
    """

    kind: Literal["extend"] = "extend"
    block: Literal["separable"] = "separable"
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
            if top.size == 1:
                break
            size = conv_size(top.size, growth.kernel, growth.stride, growth.padding)
            if size < 1:
                raise ValueError(
                    f"extend: kernel {growth.kernel} with padding {growth.padding} leaves nothing "
                    f"of a map of {top.size}x{top.size} cells; raise the padding"
                )
            top = Level(scaled(growth.channels, width), size)
            built.append((growth, top))
        return tuple(built)

    def levels(self, before: Levels, width: float) -> Levels:
        new = tuple(level for _, level in self.grown(before.top, width))
        return replace(before, maps=before.maps + new, top=(new or (before.top,))[-1])
