"""Backbones as tables of rows. Configurations edit rows; builders turn rows into modules.

A row's index is the layer number of the stride-elimination paper (its L), a row's name is what a
tap refers to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import model_validator

from searchspace.domains import Choice
from searchspace.geometry import Level, Levels, ceil_pool_size, conv_size, scaled
from searchspace.space import Config


@dataclass(frozen=True)
class Row:
    """One layer of a backbone.

    `conv` is convolution, norm, ReLU; `separable` a depthwise convolution (which carries the
    stride) and a pointwise one, each with norm and ReLU; `pool` a max pooling.
    """

    name: str
    op: Literal["conv", "separable", "pool"]
    channels: int
    stride: int = 1
    kernel: int = 3
    padding: int = 1
    dilation: int = 1
    norm: bool = True
    ceil: bool = False

    def out_size(self, size: int) -> int:
        """Side of the row's output map for an input map of side `size`."""
        if self.op == "pool" and self.ceil:
            return ceil_pool_size(size, self.kernel, self.stride)
        return conv_size(size, self.kernel, self.stride, self.padding, self.dilation)


class Backbone(Config):
    """What every backbone has: taps by row name, eliminated strides by row index.

    Attributes:
        taps: rows whose outputs the neck starts from, finest first; `top` is the last of them.
        eliminated_strides: rows whose stride becomes 1 (stride elimination, section 3); every map
            behind them doubles, no weight changes its shape.
    """

    taps: tuple[str, ...]
    eliminated_strides: tuple[int, ...]

    def stock_rows(self) -> tuple[Row, ...]:
        """The rows before any edit, at width 1."""
        raise TypeError(f"{type(self).__name__} has no table of rows")

    def rows(self, width: float) -> tuple[Row, ...]:
        """The rows as they are built: widths multiplied, strides eliminated."""
        return tuple(
            replace(
                row,
                channels=scaled(row.channels, width),
                stride=1 if index in self.eliminated_strides else row.stride,
            )
            for index, row in enumerate(self.stock_rows())
        )

    def levels(self, width: float, input_size: int) -> Levels:
        """The tapped maps for a square input of side `input_size` pixels."""
        size, tapped = input_size, {}
        for row in self.rows(width):
            size = row.out_size(size)
            tapped[row.name] = Level(row.channels, size)
        maps = tuple(tapped[name] for name in self.taps)
        return Levels(maps=maps, top=maps[-1])

    @model_validator(mode="after")
    def _rows_exist(self) -> Backbone:
        rows = self.stock_rows()
        names = [row.name for row in rows]
        strided = [index for index, row in enumerate(rows) if row.stride > 1]
        unknown = [tap for tap in self.taps if tap not in names]
        if unknown or not self.taps:
            raise ValueError(f"taps {list(self.taps)}: choose from {names}")
        if [names.index(tap) for tap in self.taps] != sorted({names.index(t) for t in self.taps}):
            raise ValueError(f"taps {list(self.taps)}: name each once, finest first")
        wrong = [index for index in self.eliminated_strides if index not in strided]
        if wrong:
            raise ValueError(f"eliminated_strides {wrong}: rows with a stride are {strided}")
        return self


class MobileNetV1(Backbone):
    """MobileNetV1: a strided convolution and thirteen depthwise-separable layers.

    Rows are `layer0` to `layer13`; S1L6 of the stride-elimination paper is
    `eliminated_strides=(6,)`.
    """

    kind: Literal["mobilenet_v1"] = "mobilenet_v1"
    taps: tuple[str, ...] = ("layer11", "layer13")
    eliminated_strides: Annotated[
        tuple[int, ...], Choice((), (6,), (4,), (0,), (4, 6), (0, 6))
    ] = ()

    def stock_rows(self) -> tuple[Row, ...]:
        widths_and_strides = (
            (32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
            (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
        )  # fmt: skip
        return tuple(
            Row(f"layer{i}", "separable" if i else "conv", channels, stride)
            for i, (channels, stride) in enumerate(widths_and_strides)
        )
