"""Whether a measurement can be trusted."""

from __future__ import annotations

import os

import torch

from detectors.timing.latency import CONFIDENCE
from detectors.timing.paired import Timing
from detectors.timing.state import Disturbance
from detectors.timing.turns import LEAST_PASSES

WIDEST = 0.06
"""Relative width of the ratio's interval above which a machine counts as too noisy."""

MOST_STOLEN = 0.05
CROWDED = 0.1
"""Shortage of cores, caused by other processes, above which they disturb a measurement."""


def doubt(
    timing: Timing,
    disturbance: Disturbance | None,
    device: torch.device,
    threads: int,
    cores: int | None = None,
) -> str | None:
    """Every reason not to trust a measurement, in words; None if it can be trusted.

    Args:
        cores: of the machine that it was made on; by default those of this one.
    """
    reasons = [_width(timing), _unsettled(timing)]
    if disturbance is not None and device.type == "cpu":
        cores = cores or os.cpu_count() or 1
        reasons += [_crowded(disturbance, threads, cores), _stolen(disturbance)]
    return "; ".join(reason for reason in reasons if reason) or None


def _width(timing: Timing) -> str | None:
    width = timing.whole.width
    if width is None:
        return f"fewer than {LEAST_PASSES} passes give no interval of the median"
    if width <= WIDEST:
        return None
    return f"the {CONFIDENCE:.0%} interval of the median is {width:.0%} wide"


def _unsettled(timing: Timing) -> str | None:
    if timing.settled:
        return None
    return f"the latency had not settled after {timing.warm_up_calls} calls"


def _crowded(disturbance: Disturbance, threads: int, cores: int) -> str | None:
    if disturbance.others + threads <= cores + CROWDED:
        return None
    return f"other processes took {disturbance.others:.1f} of {cores} cores"


def _stolen(disturbance: Disturbance) -> str | None:
    if disturbance.stolen <= MOST_STOLEN:
        return None
    return f"other virtual machines took {disturbance.stolen:.0%} of a core's time"
