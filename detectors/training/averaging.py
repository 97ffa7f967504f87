"""The exponential moving average of a detector's weights during training."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from detectors.detector import Detector

RAMP = 2000
"""Time constant, in steps, with which the decay approaches its final value (YOLOX)."""


def decay_at(step: int, decay: float) -> float:
    """The decay at step `step`, counted from 0: decay * (1 - exp(-step / 2000))."""
    return decay * (1 - math.exp(-step / RAMP))


class Average:
    """A moving average of a detector's weights and batch statistics; it starts as a copy.

    Unlike torch's `AveragedModel`, it keeps its count on the host and its lists of tensors, so that
    an update is two launches and asks the device nothing.

    Attributes:
        module: the averaged detector.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        self.module = copy.deepcopy(detector)
        self._decay, self._updates = decay, 0
        current = detector.state_dict()
        pairs = [(mean, current[name]) for name, mean in self.module.state_dict().items()]
        self._numbers = _columns(pair for pair in pairs if pair[0].is_floating_point())
        self._counts = _columns(pair for pair in pairs if not pair[0].is_floating_point())

    @torch.no_grad()
    def update(self) -> None:
        """Take the detector's tensors as they are now into the average; counts are copied."""
        # The decay of the first update is 0: the average becomes the detector.
        torch._foreach_lerp_(*self._numbers, 1 - decay_at(self._updates, self._decay))
        if self._counts[0]:
            torch._foreach_copy_(*self._counts)
        self._updates += 1

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"updates": self._updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._updates = state["updates"]
        self.module.load_state_dict(state["module"])


def _columns(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """Pairs as two lists."""
    both = list(pairs)
    return [mean for mean, _ in both], [current for _, current in both]
