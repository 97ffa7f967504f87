"""The modules of a neck: one for each kind of step."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from detectors.blocks import L2Norm, conv_norm_relu, init_dense
from detectors.features import Features
from searchspace import necks as config
from searchspace.geometry import Levels


class L2NormStep(nn.Module):
    """Normalises one map; growth goes on from the map as it was."""

    def __init__(self, step: config.L2Norm, before: Levels, width: float) -> None:
        super().__init__()
        self.level = step.level
        self.norm = L2Norm(before.maps[step.level].channels, step.scale)

    def forward(self, features: Features) -> Features:
        maps = list(features.maps)
        maps[self.level] = self.norm(maps[self.level])
        return replace(features, maps=maps)


def separable_growth(channels_in: int, growth: config.Growth, channels: int) -> nn.Sequential:
    """Pointwise, strided depthwise, pointwise: an extra layer of SSD-MobileNetV1."""
    return nn.Sequential(
        conv_norm_relu(channels_in, channels, kernel=1, padding=0, activation=nn.ReLU6),
        conv_norm_relu(
            channels,
            channels,
            growth.kernel,
            growth.stride,
            growth.padding,
            groups=channels,
            activation=nn.ReLU6,
        ),
        conv_norm_relu(channels, channels, kernel=1, padding=0),
    )


class ExtendStep(nn.Module):
    """Grows further levels from `top`, each from the one before."""

    def __init__(self, step: config.Extend, before: Levels, width: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        channels = before.top.channels
        for growth, level in step.grown(before.top, width):
            self.blocks.append(separable_growth(channels, growth, level.channels))
            channels = level.channels
        init_dense(self)

    def forward(self, features: Features) -> Features:
        maps, top = list(features.maps), features.top
        for block in self.blocks:
            top = block(top)
            maps.append(top)
        return replace(features, maps=maps, top=top)


STEPS: dict[str, type[nn.Module]] = {"l2norm": L2NormStep, "extend": ExtendStep}


def build_neck(
    steps: tuple[config.L2Norm | config.Extend, ...], stages: tuple[Levels, ...], width: float
) -> nn.Sequential:
    """The steps in order; `stages[k]` is what step k is given."""
    pairs = zip(steps, stages, strict=False)
    return nn.Sequential(*(STEPS[step.kind](step, before, width) for step, before in pairs))
