"""Backbones built from their tables of rows."""

from __future__ import annotations

from torch import Tensor, nn

from detectors.blocks import conv_norm_relu
from detectors.features import Features
from searchspace.backbones import Backbone as BackboneConfig
from searchspace.backbones import Row


def build_row(row: Row, channels_in: int) -> nn.Module:
    """The module of one row."""
    if row.op == "pool":
        return nn.MaxPool2d(row.kernel, row.stride, row.padding, ceil_mode=row.ceil)
    if row.op == "separable":
        depthwise = conv_norm_relu(
            channels_in, channels_in, row.kernel, row.stride, row.padding, groups=channels_in
        )
        pointwise = conv_norm_relu(channels_in, row.channels, kernel=1, padding=0)
        return nn.Sequential(depthwise, pointwise)
    return conv_norm_relu(
        channels_in,
        row.channels,
        row.kernel,
        row.stride,
        row.padding,
        row.dilation,
        norm=row.norm,
    )


class Backbone(nn.Module):
    """Rows in sequence; the outputs of the tapped ones are handed on.

    Layers are named after their rows, so that weights fit whatever strides were eliminated.
    """

    def __init__(self, config: BackboneConfig, width: float) -> None:
        super().__init__()
        self.taps = config.taps
        channels = 3
        last = config.taps[-1]
        for row in config.rows(width):
            self.add_module(row.name, build_row(row, channels))
            channels = row.channels
            if row.name == last:
                break

    def forward(self, images: Tensor) -> Features:
        """Images [N, 3, S, S] to the tapped maps, finest first."""
        tapped, x = {}, images
        for name, layer in self.named_children():
            x = layer(x)
            if name in self.taps:
                tapped[name] = x
        maps = [tapped[name] for name in self.taps]
        return Features(maps=maps, top=maps[-1])
