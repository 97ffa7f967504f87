"""The modules of a neck: one for each kind of step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.blocks import L2Norm, conv_norm_relu, init_dense
from detectors.features import Features
from detectors.necks.top_down import AggregateStep, PyramidStep
from searchspace import necks as config
from searchspace.geometry import Levels, Size, scaled


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


class FuseStep(nn.Module):
    """Several maps become one, which is the only map and where growth continues."""

    def __init__(self, step: config.Fuse, before: Levels, width: float) -> None:
        super().__init__()
        self.how = step.how
        self.sources = [source.level for source in step.sources]
        self.at = step.at
        self.transforms = nn.ModuleList(
            conv_norm_relu(
                before.maps[source.level].channels,
                scaled(source.channels, width),
                kernel=1,
                padding=0,
                norm=step.norm_sources,
            )
            for source in step.sources
        )
        init_dense(self)
        fused = step.levels(before, width).top
        self.norm = nn.BatchNorm2d(fused.channels) if step.norm else nn.Identity()

    def forward(self, features: Features) -> Features:
        maps = [
            resized(transform(features.maps[level]), features.maps[self.at].shape[-2:])
            for transform, level in zip(self.transforms, self.sources, strict=True)
        ]
        fused = torch.cat(maps, 1) if self.how == "concat" else torch.stack(maps).sum(0)
        fused = self.norm(fused)
        return replace(features, maps=[fused], top=fused)


def resized(x: Tensor, target: Size) -> Tensor:
    """A map brought to `target` cells: max pooling down, bilinear up."""
    # While a graph is traced sizes are tensors; those of maps are the same for any batch.
    size, target = (tuple(map(int, cells)) for cells in (x.shape[-2:], target))
    window, ceil = config.pooling(size, target)
    if max(window) > 1:
        x = functional.max_pool2d(x, window, window, ceil_mode=ceil)
    if x.shape[-2:] == target:
        return x
    return functional.interpolate(x, target, mode="bilinear", align_corners=False)


class FusionBlock(nn.Module):
    """A coarse map, enlarged again and again, added to a fine one (MDSSD, figure 3)."""

    def __init__(
        self, block: config.FusionBlock, before: Levels, width: float, scale: float
    ) -> None:
        super().__init__()
        inner, channels = scaled(block.sum_channels, width), scaled(block.channels, width)
        enlargements = block.enlargements(before.maps)
        behind = before.maps[block.source].channels
        self.upper = nn.Sequential()
        for number, (kernel, stride) in enumerate(enlargements):
            deconv = scaled(block.deconv_channels[number], width)
            last = number == len(enlargements) - 1
            padding = (kernel[0] - stride[0], kernel[1] - stride[1])
            self.upper.append(nn.ConvTranspose2d(behind, deconv, kernel, stride, padding))
            behind = inner if last else deconv
            self.upper.append(
                conv_norm_relu(deconv, behind, norm=False, activation=None if last else nn.ReLU)
            )
        self.upper.append(L2Norm(inner, scale))
        fine = before.maps[block.level].channels
        self.lower = nn.Sequential(
            conv_norm_relu(fine, inner, norm=False, activation=None), L2Norm(inner, scale)
        )
        self.close = conv_norm_relu(inner, channels, norm=False)
        init_dense(self)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return self.close((self.upper(coarse) + self.lower(fine)).relu())


class DeconvolveStep(nn.Module):
    """Fine maps get the context of coarse ones; all are read as they were before."""

    def __init__(self, step: config.Deconvolve, before: Levels, width: float) -> None:
        super().__init__()
        self.pairs = [(block.level, block.source) for block in step.blocks]
        self.blocks = nn.ModuleList(FusionBlock(b, before, width, step.scale) for b in step.blocks)

    def forward(self, features: Features) -> Features:
        maps = list(features.maps)
        for block, (level, source) in zip(self.blocks, self.pairs, strict=True):
            maps[level] = block(features.maps[level], features.maps[source])
        return replace(features, maps=maps)


class JoinStep(nn.Module):
    """A map of the second path behind a map, channel by channel."""

    def __init__(self, step: config.Join, before: Levels, width: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, features: Features) -> Features:
        maps = list(features.maps)
        joined = torch.cat((maps[self.step.level], features.side[self.step.side]), 1)
        maps[self.step.level] = joined
        top = joined if self.step.feeds_growth else features.top
        return replace(features, maps=maps, top=top)


class SplitStep(nn.Module):
    """Growth continues from a map of the second path."""

    def __init__(self, step: config.Split, before: Levels, width: float) -> None:
        super().__init__()
        self.side = step.side

    def forward(self, features: Features) -> Features:
        return replace(features, top=features.side[self.side])


STEPS: dict[str, type[nn.Module]] = {
    "l2norm": L2NormStep,
    "extend": ExtendStep,
    "fuse": FuseStep,
    "deconvolve": DeconvolveStep,
    "join": JoinStep,
    "split": SplitStep,
    "pyramid": PyramidStep,
    "aggregate": AggregateStep,
}


def build_neck(
    steps: tuple[config.Step, ...], stages: tuple[Levels, ...], width: float
) -> nn.Sequential:
    """The steps in order; `stages[k]` is what step k is given.

    A step is named after its kind and counted among those of that kind (`extend1`), so that weights
    fit whatever other steps there are.
    """
    neck, seen = nn.Sequential(), Counter[str]()
    for step, before in zip(steps, stages, strict=False):
        seen[step.kind] += 1
        neck.add_module(f"{step.kind}{seen[step.kind]}", STEPS[step.kind](step, before, width))
    return neck
