"""Steps of SSD: the L2 norm of a map, and further pyramid levels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn

from detectors.blocks import L2Norm, conv_norm_relu, init_dense
from detectors.building import builds
from detectors.features import Features
from searchspace import necks as config
from searchspace.geometry import Levels


@builds(config.L2Norm)
class L2NormStep(nn.Module):
    """Normalises one level; growth continues from the original map."""

    def __init__(self, step: config.L2Norm, before: Levels, width: float) -> None:
        super().__init__()
        self.level = step.level
        self.norm = L2Norm(before.maps[step.level].channels, step.scale)

    def forward(self, features: Features) -> Features:
        maps = list(features.maps)
        maps[self.level] = self.norm(maps[self.level])
        return replace(features, maps=maps)


def conv_growth(
    channels_in: int,
    growth: config.Growth,
    channels: int,
    norm: bool,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """One convolution: a level of FSSD's pyramids a and b; without ReLU, one of GFL's."""
    return conv_norm_relu(
        channels_in,
        channels,
        growth.kernel,
        growth.stride,
        growth.padding,
        norm=norm,
        activation=activation,
    )


def bottleneck_growth(
    channels_in: int, growth: config.Growth, channels: int, norm: bool
) -> nn.Sequential:
    """Half the channels by 1x1, then the convolution: an extra layer of SSD."""
    inner = channels // 2
    return nn.Sequential(
        conv_norm_relu(channels_in, inner, kernel=1, padding=0, norm=norm),
        conv_growth(inner, growth, channels, norm),
    )


def separable_growth(
    channels_in: int, growth: config.Growth, channels: int, norm: bool
) -> nn.Sequential:
    """Pointwise, strided depthwise, pointwise: an extra layer of SSD-MobileNetV1."""
    return nn.Sequential(
        conv_norm_relu(channels_in, channels, kernel=1, padding=0, norm=norm, activation=nn.ReLU6),
        conv_norm_relu(
            channels,
            channels,
            growth.kernel,
            growth.stride,
            growth.padding,
            groups=channels,
            norm=norm,
            activation=nn.ReLU6,
        ),
        conv_norm_relu(channels, channels, kernel=1, padding=0, norm=norm),
    )


GROWTHS = {
    "conv": conv_growth,
    "plain": partial(conv_growth, activation=None),
    "bottleneck": bottleneck_growth,
    "separable": separable_growth,
}


@builds(config.Extend)
class ExtendStep(nn.Module):
    """Grows further levels from `top`, each from the one before."""

    def __init__(self, step: config.Extend, before: Levels, width: float) -> None:
        super().__init__()
        self.replaces = step.replaces
        self.blocks = nn.ModuleList()
        channels = before.top.channels
        for growth, level in step.grown(before.top, width):
            self.blocks.append(GROWTHS[step.block](channels, growth, level.channels, step.norm))
            channels = level.channels
        init_dense(self)

    def forward(self, features: Features) -> Features:
        maps, top = list(features.maps), features.top
        if self.replaces and self.blocks:
            maps.pop()
        for block in self.blocks:
            top = block(top)
            maps.append(top)
        return replace(features, maps=maps, top=top)
