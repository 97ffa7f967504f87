"""What a configuration builds, counted without allocating it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detectors.detector import Detector
from searchspace.detector import DetectorConfig


@dataclass(frozen=True)
class Description:
    """The size of a detector.

    Attributes:
        params: scalars in trainable tensors.
        macs: multiply-accumulates of its convolutions for one image; biases do not count.
        priors_per_level: default boxes, finest level first.
        level_sizes: height and width in cells of the maps that the head reads.
    """

    params: int
    macs: int
    priors_per_level: tuple[int, ...]
    level_sizes: tuple[tuple[int, int], ...]


def describe(config: DetectorConfig) -> Description:
    """Build `config` without memory for its weights, and count."""
    with torch.device("meta"):
        detector = Detector(config)
    levels, priors = config.levels(), config.priors()
    return Description(
        params=count_params(detector),
        macs=count_macs(detector),
        priors_per_level=tuple(
            level.size**2 * p.boxes_per_cell for level, p in zip(levels, priors, strict=True)
        ),
        level_sizes=tuple((level.size, level.size) for level in levels),
    )


def count_params(module: nn.Module) -> int:
    """Scalars in the trainable tensors of `module`."""
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def count_macs(detector: Detector) -> int:
    """Multiply-accumulates of the convolutions for one image."""
    side = detector.config.input_size
    mode = detector.training
    with FlopCounterMode(display=False) as counter:
        detector.eval().predict(torch.empty(1, 3, side, side, device=detector.priors.device))
    detector.train(mode)
    return counter.get_total_flops() // 2
