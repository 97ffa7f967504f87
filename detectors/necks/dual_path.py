"""Steps of dual-path detectors: joining a map of the second path, or growing from it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from detectors.building import builds
from detectors.features import Features
from searchspace import necks as config
from searchspace.geometry import Levels


@builds(config.Join)
class JoinStep(nn.Module):
    """Concatenates a map of the second path to a level."""

    def __init__(self, step: config.Join, before: Levels, width: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, features: Features) -> Features:
        maps = list(features.maps)
        joined = torch.cat((maps[self.step.level], features.side[self.step.side]), 1)
        maps[self.step.level] = joined
        top = joined if self.step.feeds_growth else features.top
        return replace(features, maps=maps, top=top)


@builds(config.Split)
class SplitStep(nn.Module):
    """Sets the top to a map of the second path."""

    def __init__(self, step: config.Split, before: Levels, width: float) -> None:
        super().__init__()
        self.side = step.side

    def forward(self, features: Features) -> Features:
        return replace(features, top=features.side[self.side])
