"""The modules of the steps with a top-down path."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.blocks import conv_norm_relu, conv_norm_silu, init_dense
from detectors.building import builds
from detectors.darknet import CrossStage
from detectors.features import Features
from searchspace.geometry import Levels
from searchspace.necks import top_down as config


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """A map [N, C, H, W] enlarged to the size of another one by nearest neighbour."""
    return functional.interpolate(x, like.shape[-2:], mode="nearest")


@builds(config.Pyramid)
class PyramidStep(nn.Module):
    """FPN: maps with equal channels, to each of which the coarser ones are added."""

    def __init__(self, step: config.Pyramid, before: Levels, width: float) -> None:
        super().__init__()
        channels = step.levels(before, width).top.channels
        self.lateral = nn.ModuleList(
            conv_norm_relu(x.channels, channels, 1, padding=0, norm=False, activation=None)
            for x in before.maps
        )
        self.smooth = nn.ModuleList(
            conv_norm_relu(channels, channels, norm=False, activation=None) for _ in before.maps
        )
        init_dense(self)

    def forward(self, features: Features) -> Features:
        sums = [conv(x) for conv, x in zip(self.lateral, features.maps, strict=True)]
        for level in reversed(range(len(sums) - 1)):
            sums[level] = sums[level] + enlarged(sums[level + 1], sums[level])
        maps = [conv(x) for conv, x in zip(self.smooth, sums, strict=True)]
        return replace(features, maps=maps, top=maps[-1])


@builds(config.Aggregate)
class AggregateStep(nn.Module):
    """PAFPN: maps are concatenated from coarse to fine, then from fine to coarse.

    The modules of the top-down path are in its order, coarsest first.
    """

    def __init__(self, step: config.Aggregate, before: Levels, width: float) -> None:
        super().__init__()
        channels = step.channels_of(len(before.maps), width)
        self.reduce, self.down = nn.ModuleList(), nn.ModuleList()
        coarse = before.maps[-1].channels
        for level in reversed(range(len(before.maps) - 1)):
            fine, made = before.maps[level].channels, channels[level]
            self.reduce.append(conv_norm_silu(coarse, made, kernel=1, padding=0))
            self.down.append(CrossStage(made + fine, made, step.blocks, shortcut=False))
            coarse = made
        self.shrink, self.up = nn.ModuleList(), nn.ModuleList()
        for level, stride in enumerate(step.strides(before.maps)):
            fine, made = channels[level : level + 2]
            self.shrink.append(conv_norm_silu(fine, fine, stride=stride))
            self.up.append(CrossStage(2 * fine, made, step.blocks, shortcut=False))

    def forward(self, features: Features) -> Features:
        x, reduced = features.maps[-1], []
        way_down = zip(self.reduce, self.down, reversed(features.maps[:-1]), strict=True)
        for reduce, stage, fine in way_down:
            reduced.append(reduce(x))
            x = stage(torch.cat((enlarged(reduced[-1], fine), fine), 1))
        maps = [x]
        for shrink, stage, side in zip(self.shrink, self.up, reversed(reduced), strict=True):
            maps.append(stage(torch.cat((shrink(maps[-1]), side), 1)))
        return replace(features, maps=maps, top=maps[-1])
