"""FSSD's step: several maps fused into one."""

from __future__ import annotations

from dataclasses import replace
from typing import SupportsInt

import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.blocks import conv_norm_relu, init_dense
from detectors.building import builds
from detectors.features import Features, resized, size_of
from searchspace import necks as config
from searchspace.geometry import Levels, Size, scaled
from searchspace.necks.fusion import pooling


@builds(config.Fuse)
class FuseStep(nn.Module):
    """Fuses several maps into one, which becomes the only level and the top."""

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
            _fitted(transform(features.maps[level]), size_of(features.maps[self.at]))
            for transform, level in zip(self.transforms, self.sources, strict=True)
        ]
        fused = torch.cat(maps, 1) if self.how == "concat" else torch.stack(maps).sum(0)
        fused = self.norm(fused)
        return replace(features, maps=[fused], top=fused)


def _fitted(x: Tensor, target: Size) -> Tensor:
    """A map [N, C, H, W] resized to `target` cells: max pooling down, bilinear up."""
    # During tracing sizes are tensors; those of maps do not depend on the batch.
    size, target = _counted(*size_of(x)), _counted(*target)
    window, ceil = pooling(size, target)
    if max(window) > 1:
        x = functional.max_pool2d(x, window, window, ceil_mode=ceil)
    return resized(x, target)


def _counted(height: SupportsInt, width: SupportsInt) -> Size:
    return int(height), int(width)
