"""The exponential moving average of a detector's weights during training."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from detectors.detector import Detector

RAMP = 2000
"""Time constant, in steps, with which the decay approaches its final value (YOLOX)."""


def decay_at(step: int, decay: float) -> float:
    """The decay at step `step`, counted from 0: decay * (1 - exp(-step / 2000))."""
    return decay * (1 - math.exp(-step / RAMP))


def average(detector: Detector, decay: float) -> AveragedModel:
    """A moving average of the detector's weights and batch statistics; it starts as a copy.

    `update_parameters(detector)` is called after each step.
    """

    def update(averaged: PARAM_LIST, current: PARAM_LIST, step: Tensor | int) -> None:
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, 1 - decay_at(int(step), decay))
        else:
            torch._foreach_copy_(averaged, current)

    return AveragedModel(detector, multi_avg_fn=update, use_buffers=True)
