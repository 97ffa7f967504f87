"""Backbones as tables of rows. Configurations edit rows; builders turn rows into modules.

A row's index is the layer number of the stride-elimination paper (its L), a row's name is what a
tap refers to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field, model_validator

from searchspace.config import Config, Follows
from searchspace.domains import Choice
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
from searchspace.registry import Registry
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


class Backbone(Config):
    """What every backbone has: taps by row name, eliminated strides by row index.

    Attributes:
        taps: rows whose outputs the neck starts from, finest first; `top` is the last of them.
        eliminated_strides: rows whose stride becomes 1 (stride elimination, section 3); every map
            behind them doubles, no weight changes its shape.
        second_path: behind each row that lost its stride, also keep every second row and column of
            its output and send that through the same layers (dual path, section 4). The taps of
            this path are the neck's `side` maps. A search draws none of its own: there is a second
            path where the neck reads it.
    """

    kind: str
    taps: tuple[str, ...]
    eliminated_strides: tuple[int, ...]
    second_path: Annotated[bool, Follows()] = False

    def in_words(self) -> str:
        """What it is, if not the usual one, and what was changed of it."""
        numbers = "-".join(map(str, self.eliminated_strides))
        usual = type(self).model_fields["taps"].default
        return joined(
            self._name_in_words(),
            f"S{len(self.eliminated_strides)}L{numbers}" if self.eliminated_strides else "",
            f"taps {'+'.join(self.taps)}" if self.taps != usual else "",
        )

    def _name_in_words(self) -> str:
        """What it is, strides and taps aside."""
        return self.kind

    def stock_rows(self) -> tuple[Row, ...]:
        """The rows before any edit, at width 1."""
        raise TypeError(f"{type(self).__name__} has no table of rows")

    def built_rows(self) -> tuple[Row, ...]:
        """The stock rows up to the last tap: nothing reads what is behind it."""
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
        """The rows behind which the second path keeps every second row and column."""
        rows = self.stock_rows()
        return tuple(rows[i].name for i in self.eliminated_strides if self.second_path)

    def side_taps(self) -> int:
        """How many taps a second path has: those at or behind the first eliminated stride."""
        names = [row.name for row in self.stock_rows()]
        first = min(self.eliminated_strides, default=len(names))
        return sum(names.index(tap) >= first for tap in self.taps)

    def levels(self, width: float, size: Size) -> Levels:
        """The tapped maps for an input of `size` pixels."""
        halved = self.halved_rows()
        side_size: Size | None = None
        maps, side = [], []
        for row in self.rows(width):
            size = along_axes(row.out_size, size)
            side_size = along_axes(row.out_size, side_size) if side_size else None
            if row.name in halved:
                side_size = along_axes(every_second, side_size or size)
            if row.name in self.taps:
                maps.append(Level(row.channels, *size))
                side += [Level(row.channels, *side_size)] if side_size else []
        return Levels(maps=tuple(maps), top=maps[-1], side=tuple(side))

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


class MobileNetV1(Backbone):
    """MobileNetV1: a strided convolution and thirteen depthwise-separable layers.

    Rows are `layer0` to `layer13`; S1L6 of the stride-elimination paper is
    `eliminated_strides=(6,)`.

    Attributes:
        activation: `relu6` is that of the published ImageNet weights.
    """

    kind: Literal["mobilenet_v1"] = "mobilenet_v1"
    taps: tuple[str, ...] = ("layer11", "layer13")
    eliminated_strides: Annotated[
        tuple[int, ...], Choice((), (6,), (4,), (0,), (4, 6), (0, 6))
    ] = ()
    activation: Literal["relu", "relu6"] = "relu"

    def _name_in_words(self) -> str:
        """Nothing but the activation: it is the usual one."""
        return "ReLU6" if self.activation == "relu6" else ""

    def stock_rows(self) -> tuple[Row, ...]:
        widths_and_strides = (
            (32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
            (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
        )  # fmt: skip
        return tuple(
            Row(
                f"layer{i}",
                "separable" if i else "conv",
                channels,
                stride,
                activation=self.activation,
            )
            for i, (channels, stride) in enumerate(widths_and_strides)
        )


class VGG16(Backbone):
    """VGG16 with its fully connected layers as convolutions (SSD, section 3.1).

    Rows are counted with the poolings, as in the stride-elimination paper: row 2 is `pool1`.

    Attributes:
        norm: batch norm in place of the biases of the 13 convolutions before `pool5`.
    """

    kind: Literal["vgg16"] = "vgg16"
    taps: tuple[str, ...] = ("conv4_3", "fc7")
    eliminated_strides: Annotated[tuple[int, ...], Choice((), (2,), (5,), (9,))] = ()
    norm: Annotated[bool, Choice(False, True)] = False

    def _name_in_words(self) -> str:
        return "VGG16 with batch norm" if self.norm else "VGG16"

    def stock_rows(self) -> tuple[Row, ...]:
        rows: list[Row] = []
        for group, (channels, convs) in enumerate(
            ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1
        ):
            names = [f"conv{group}_{number + 1}" for number in range(convs)]
            rows += [Row(name, "conv", channels, norm=self.norm) for name in names]
            stride, kernel, padding = (2, 2, 0) if group < 5 else (1, 3, 1)
            rows.append(
                Row(f"pool{group}", "pool", channels, stride, kernel, padding, ceil=group == 3)
            )
        return (
            *rows,
            Row("fc6", "conv", 1024, padding=6, dilation=6, norm=False),
            Row("fc7", "conv", 1024, kernel=1, padding=0, norm=False),
        )


BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Bottlenecks of each stage of a ResNet, by its depth."""


class ResNet(Backbone):
    """ResNet of bottlenecks that carry their stride in the 3x3 convolution.

    Rows are `stem`, `pool` and the stages `res2` to `res5`.

    Attributes:
        last_stage: `dilated` keeps `res5` at the cells of `res4` and spreads its kernels instead.
    """

    kind: Literal["resnet"] = "resnet"
    taps: tuple[str, ...] = ("res3", "res4", "res5")
    eliminated_strides: Annotated[tuple[int, ...], Choice((), (1,), (3,), (4,))] = ()
    depth: Annotated[Literal[50, 101], Choice(50, 101)] = 50
    last_stage: Annotated[Literal["strided", "dilated"], Choice("strided", "dilated")] = "strided"

    def _name_in_words(self) -> str:
        dilated = "last stage dilated" if self.last_stage == "dilated" else ""
        return joined(f"ResNet-{self.depth}", dilated)

    def stock_rows(self) -> tuple[Row, ...]:
        stages = [
            Row(f"res{2 + k}", "residual", 256 * 2**k, stride=2 if k else 1, blocks=blocks)
            for k, blocks in enumerate(BLOCKS[self.depth])
        ]
        if self.last_stage == "dilated":
            stages[-1] = replace(stages[-1], stride=1, dilation=2)
        return (
            Row("stem", "conv", 64, stride=2, kernel=7, padding=3),
            Row("pool", "pool", 64, stride=2),
            *stages,
        )


class CSPDarknet(Backbone):
    """YOLOX's backbone: four stages, each a strided convolution and a cross-stage-partial stage.

    Rows are `stem`, then `down2`, `dark2` to `down5`, `spp`, `dark5`; taps are the `dark` ones.

    Attributes:
        depth: multiplier of the blocks of each stage (3, 9, 9, 3), of which one is always left.
    """

    kind: Literal["csp_darknet"] = "csp_darknet"
    taps: tuple[str, ...] = ("dark3", "dark4", "dark5")
    eliminated_strides: Annotated[tuple[int, ...], Choice((), (0,), (1,), (3,))] = ()
    depth: Annotated[float, Choice(0.33, 0.67, 1.0), Field(gt=0, le=2)] = 0.33

    def _name_in_words(self) -> str:
        return f"CSPDarknet of depth {self.depth:g}"

    def stock_rows(self) -> tuple[Row, ...]:
        rows = [Row("stem", "focus", 64, stride=2)]
        for stage, blocks in enumerate((3, 9, 9, 3), start=2):
            channels, last = 32 * 2**stage, stage == 5
            rows.append(Row(f"down{stage}", "conv", channels, stride=2, activation="silu"))
            if last:
                rows.append(Row("spp", "pyramid_pooling", channels))
            count = max(1, round(blocks * self.depth))
            rows.append(
                Row(f"dark{stage}", "cross_stage", channels, blocks=count, shortcut=not last)
            )
        return tuple(rows)


BACKBONES = Registry[Backbone]("backbone", MobileNetV1, VGG16, ResNet, CSPDarknet)
