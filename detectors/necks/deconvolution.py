"""MDSSD's step: coarse maps add context to fine ones."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from detectors.blocks import L2Norm, conv_norm_relu, init_dense
from detectors.building import builds
from detectors.features import Features
from searchspace import necks as config
from searchspace.geometry import Levels, scaled


class FusionBlock(nn.Module):
    """A coarse map, enlarged repeatedly and added to a fine one (MDSSD, figure 3)."""

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


@builds(config.Deconvolve)
class DeconvolveStep(nn.Module):
    """Adds context from coarse maps to fine ones; all maps are read from before this step."""

    def __init__(self, step: config.Deconvolve, before: Levels, width: float) -> None:
        super().__init__()
        self.pairs = [(block.level, block.source) for block in step.blocks]
        self.blocks = nn.ModuleList(FusionBlock(b, before, width, step.scale) for b in step.blocks)

    def forward(self, features: Features) -> Features:
        maps = list(features.maps)
        for block, (level, source) in zip(self.blocks, self.pairs, strict=True):
            maps[level] = block(features.maps[level], features.maps[source])
        return replace(features, maps=maps)
