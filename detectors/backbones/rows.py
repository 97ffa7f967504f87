"""Backbones built from their tables of rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from detectors.backbones.contract import Backbone
from detectors.blocks import Bottleneck, conv_norm_relu, conv_norm_silu, init_without_norm
from detectors.building import builds
from detectors.darknet import CrossStage, Focus, PyramidPooling
from detectors.features import Features
from searchspace.backbones import Row, RowBackbone

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}


def build_row(row: Row, channels_in: int) -> nn.Module:
    """The module of one row."""
    return BUILDERS[row.op](row, channels_in)


def conv_row(row: Row, channels_in: int) -> nn.Sequential:
    """A convolution with what follows it."""
    shape = (channels_in, row.channels, row.kernel, row.stride, row.padding)
    if row.activation == "silu":
        return conv_norm_silu(*shape, row.dilation)
    activation = ACTIVATIONS[row.activation]
    return conv_norm_relu(*shape, norm=row.norm, activation=activation, dilation=row.dilation)


def separable_row(row: Row, channels_in: int) -> nn.Sequential:
    """A depthwise convolution, which carries the stride, and a pointwise one."""
    conv = partial(conv_norm_relu, norm=row.norm, activation=ACTIVATIONS[row.activation])
    depthwise = conv(
        channels_in, channels_in, row.kernel, row.stride, row.padding, groups=channels_in
    )
    return nn.Sequential(depthwise, conv(channels_in, row.channels, kernel=1, padding=0))


def residual_stage(row: Row, channels_in: int) -> nn.Sequential:
    """Bottlenecks in sequence. The first, with the stride, sees the cells that it always saw."""
    first = Bottleneck(channels_in, row.channels, row.stride)
    others = (
        Bottleneck(row.channels, row.channels, dilation=row.dilation) for _ in range(row.blocks - 1)
    )
    return nn.Sequential(first, *others)


BUILDERS: dict[str, Callable[[Row, int], nn.Module]] = {
    "identity": lambda row, channels_in: nn.Identity(),
    "conv": conv_row,
    "separable": separable_row,
    "pool": lambda row, channels_in: nn.MaxPool2d(
        row.kernel, row.stride, row.padding, ceil_mode=row.ceil
    ),
    "residual": residual_stage,
    "focus": lambda row, channels_in: Focus(channels_in, row.channels, row.stride),
    "cross_stage": lambda row, channels_in: CrossStage(
        channels_in, row.channels, row.blocks, row.shortcut
    ),
    "pyramid_pooling": lambda row, channels_in: PyramidPooling(channels_in, row.channels),
}


def every_second(x: Tensor) -> Tensor:
    """Every second row and column of a map, the first included."""
    return x[:, :, ::2, ::2]


@builds(RowBackbone)
class RowNetwork(Backbone):
    """Rows in sequence; the outputs of the tapped ones are handed on.

    Layers are named after their rows, so that weights fit whatever strides were eliminated. The
    second path runs through the same layers; their batch norms see both paths, one after the other.
    """

    def __init__(self, config: RowBackbone, width: float) -> None:
        super().__init__()
        self.taps = config.taps
        self.halved = config.halved_rows()
        channels = 3
        for row in config.rows(width):
            self.add_module(row.name, build_row(row, channels))
            channels = row.channels
        init_without_norm(self)

    def first(self, stages: int) -> list[str]:
        rows = [name for name, _ in self.named_children()][:stages]
        return [name for name, _ in self.named_modules() if name.partition(".")[0] in rows]

    def forward(self, images: Tensor) -> Features:
        maps, side = [], []
        x, second = images, None
        for name, layer in self.named_children():
            x = layer(x)
            second = None if second is None else layer(second)
            if name in self.halved:
                second = every_second(x if second is None else second)
            if name in self.taps:
                maps.append(x)
                side += [] if second is None else [second]
        return Features(maps=maps, top=x, side=side)
