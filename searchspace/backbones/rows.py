"""Backbones as tables of rows. Configurations edit rows; builders turn rows into modules.

A row's index is the layer number of the stride-elimination paper (its L), a row's name is what a
tap refers to.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from pydantic import model_validator

from searchspace.backbones.contract import Backbone
from searchspace.config import Follows
from searchspace.geometry import (
    Level,
    Levels,
    Size,
    along_axes,
    ceil_pool_size,
    conv_size,
    every_second,
    scaled,
)
from searchspace.words import joined

Activation = Literal["relu", "relu6", "silu"]
"""`silu` comes with YOLOX's constants of batch norm."""


@dataclass(frozen=True)
class Row:
    """One layer of a backbone.

    `conv` is convolution, norm, activation; `separable` a depthwise convolution (which carries the
    stride) and a pointwise one, each with norm and activation; `pool` a max pooling; `residual` so
    many `blocks` of bottlenecks, of which the first carries the stride and the others the dilation;
    `focus` turns 2x2 pixels into channels in front of a convolution; `cross_stage` sends half of
    the channels through so many `blocks`, with a `shortcut` around each; `pyramid_pooling` is an
    SPP; `identity` hands on what it is given.
    """

    name: str
    op: Literal[
        "conv", "separable", "pool", "residual", "focus", "cross_stage", "pyramid_pooling",
        "identity",
    ]  # fmt: skip
    channels: int
    stride: int = 1
    kernel: int = 3
    padding: int = 1
    dilation: int = 1
    norm: bool = True
    ceil: bool = False
    blocks: int = 1
    shortcut: bool = True
    activation: Activation = "relu"

    def without_stride(self) -> Row:
        """The row with stride 1; of a pooling nothing is left."""
        return replace(self, op="identity" if self.op == "pool" else self.op, stride=1)

    def out_size(self, size: int) -> int:
        """Height of the row's output for an input of height `size`; widths follow the same rule."""
        if self.op in ("identity", "cross_stage", "pyramid_pooling"):
            return size
        if self.op == "focus":
            return conv_size(size, kernel=1, stride=self.stride, padding=0)
        if self.op == "residual":
            return conv_size(size, kernel=3, stride=self.stride, padding=1)
        if self.op == "pool" and self.ceil:
            return ceil_pool_size(size, self.kernel, self.stride)
        return conv_size(size, self.kernel, self.stride, self.padding, self.dilation)


class RowBackbone(Backbone):
    """A backbone as a table of rows: taps by row name, eliminated strides by row index.

    A kind of these has `stock_rows` and `title`; the modules are built from the rows.

    Attributes:
        taps: rows whose outputs the neck starts from, finest first; `top` is the last of them.
        eliminated_strides: rows whose stride becomes 1 (stride elimination, section 3); every map
            after them doubles, no weight changes its shape.
        second_path: after each row that lost its stride, also keep every second row and column of
            its output and send that through the same layers (dual path, section 4). The taps of
            this path are the neck's `side` maps. A search draws none of its own: there is a second
            path where the neck reads it.
    """

    taps: tuple[str, ...]
    eliminated_strides: tuple[int, ...]
    second_path: Annotated[bool, Follows()] = False

    @abstractmethod
    def stock_rows(self) -> tuple[Row, ...]:
        """The rows before any edit, at width 1."""

    @abstractmethod
    def title(self) -> str:
        """Its name for people, strides and taps apart; empty for the stock detector's."""

    def in_words(self) -> str:
        numbers = "-".join(map(str, self.eliminated_strides))
        usual = type(self).model_fields["taps"].default
        return joined(
            self.title(),
            f"S{len(self.eliminated_strides)}L{numbers}" if self.eliminated_strides else "",
            f"taps {'+'.join(self.taps)}" if self.taps != usual else "",
        )

    @property
    def stages(self) -> int:
        return len(self.built_rows())

    def with_second_path(self, asked: bool) -> Self:
        return self.changed(second_path=asked)

    def built_rows(self) -> tuple[Row, ...]:
        """The stock rows up to the last tap: nothing reads what follows."""
        rows = self.stock_rows()
        last = [row.name for row in rows].index(self.taps[-1])
        return rows[: last + 1]

    def rows(self, width: float) -> tuple[Row, ...]:
        """The rows as they are built: widths multiplied, strides eliminated."""
        rows = (replace(row, channels=scaled(row.channels, width)) for row in self.built_rows())
        return tuple(
            row.without_stride() if index in self.eliminated_strides else row
            for index, row in enumerate(rows)
        )

    def halved_rows(self) -> tuple[str, ...]:
        """The rows after which the second path keeps every second row and column."""
        rows = self.stock_rows()
        return tuple(rows[i].name for i in self.eliminated_strides if self.second_path)

    def side_taps(self) -> int:
        """How many taps a second path has: those at or after the first eliminated stride."""
        names = [row.name for row in self.stock_rows()]
        first = min(self.eliminated_strides, default=len(names))
        return sum(names.index(tap) >= first for tap in self.taps)

    def levels(self, width: float, size: Size) -> Levels:
        """The tapped maps for an input of `size` pixels."""
        return _levels(self, width, size)

    @model_validator(mode="after")
    def _rows_exist(self) -> Self:
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
        if list(self.eliminated_strides) != sorted(set(self.eliminated_strides)):
            raise ValueError(
                f"eliminated_strides {list(self.eliminated_strides)}: name each once, in order"
            )
        behind = names[min(self.eliminated_strides, default=len(names)) :]
        if self.second_path and self.taps[-1] not in behind:
            raise ValueError(
                f"second_path: it begins behind the first of eliminated_strides "
                f"{list(self.eliminated_strides)} and reaches none of the taps "
                f"{list(self.taps)}; eliminate a stride before the last tap, or leave it out"
            )
        return self


@functools.lru_cache(maxsize=4096)
def _levels(backbone: RowBackbone, width: float, size: Size) -> Levels:
    """The tapped maps of a backbone. Remembered: the trials of a search, and each trial's dense and
    compressed detector, share few backbones, and every configuration that is read asks for them."""
    halved = backbone.halved_rows()
    side_size: Size | None = None
    maps, side = [], []
    for row in backbone.rows(width):
        size = along_axes(row.out_size, size)
        side_size = along_axes(row.out_size, side_size) if side_size else None
        if row.name in halved:
            side_size = along_axes(every_second, side_size or size)
        if row.name in backbone.taps:
            maps.append(Level(row.channels, *size))
            side += [Level(row.channels, *side_size)] if side_size else []
    return Levels(maps=tuple(maps), top=maps[-1], side=tuple(side))
