"""Backbones built from their tables of rows."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from detectors.blocks import Bottleneck, conv_norm_relu, init_without_norm
from detectors.features import Features
from searchspace.backbones import Backbone as BackboneConfig
from searchspace.backbones import Row

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}


def build_row(row: Row, channels_in: int) -> nn.Module:
    """The module of one row."""
    if row.op == "identity":
        return nn.Identity()
    if row.op == "residual":
        return residual_stage(row, channels_in)
    if row.op == "pool":
        return nn.MaxPool2d(row.kernel, row.stride, row.padding, ceil_mode=row.ceil)
    conv = partial(conv_norm_relu, norm=row.norm, activation=ACTIVATIONS[row.activation])
    if row.op == "separable":
        depthwise = conv(
            channels_in, channels_in, row.kernel, row.stride, row.padding, groups=channels_in
        )
        return nn.Sequential(depthwise, conv(channels_in, row.channels, kernel=1, padding=0))
    return conv(channels_in, row.channels, row.kernel, row.stride, row.padding, row.dilation)


def residual_stage(row: Row, channels_in: int) -> nn.Sequential:
    """Bottlenecks in sequence. The first, with the stride, sees the cells that it always saw."""
    first = Bottleneck(channels_in, row.channels, row.stride)
    others = (
        Bottleneck(row.channels, row.channels, dilation=row.dilation) for _ in range(row.blocks - 1)
    )
    return nn.Sequential(first, *others)


def every_second(x: Tensor) -> Tensor:
    """Every second row and column of a map, the first included."""
    return x[:, :, ::2, ::2]


class Backbone(nn.Module):
    """Rows in sequence; the outputs of the tapped ones are handed on.

    Layers are named after their rows, so that weights fit whatever strides were eliminated. The
    second path runs through the same layers; their batch norms see both paths, one after the other.
    """

    def __init__(self, config: BackboneConfig, width: float) -> None:
        super().__init__()
        self.taps = config.taps
        self.halved = config.halved_rows()
        channels = 3
        last = config.taps[-1]
        for row in config.rows(width):
            self.add_module(row.name, build_row(row, channels))
            channels = row.channels
            if row.name == last:
                break
        init_without_norm(self)

    def forward(self, images: Tensor) -> Features:
        """Images [N, 3, S, S] to the tapped maps, finest first."""
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
