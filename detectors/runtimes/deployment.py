"""A detector in the form that a trial's configuration names."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.quiet import computing, threads
from detectors.runtimes import Deployed, Form, best, deploy
from searchspace.measuring import AUTO, MeasureConfig

COMPILING = 1800.0
"""Seconds that a runtime may take to compile and calibrate a detector."""


def form_of(config: MeasureConfig, detector: Detector, device: torch.device) -> Form:
    """The form that a configuration names for a detector on a device."""
    if config.runtime == AUTO:
        return best(detector, device)
    return Form(config.runtime, "float32" if config.precision == AUTO else config.precision)


def deploy_as(
    config: MeasureConfig, detector: Detector, device: torch.device, calibration: Tensor | None
) -> Deployed:
    """A detector in the form, and for the threads and the batch, that a configuration names.

    Args:
        calibration: float images [M, 3, H, W] in 0..1 that int8 takes the ranges of values from.

    Raises:
        RuntimeUnavailable: the form cannot be had here.
    """
    with computing(device, "building what is deployed", COMPILING), threads(config.threads):
        form = form_of(config, detector, device)
        deployed = deploy(detector, *form, device, calibration)
        # Runtimes that compile do so for each size of batch when it is first seen.
        deployed.network(torch.zeros(config.batch, 3, *detector.config.size, device=device))
        return deployed
