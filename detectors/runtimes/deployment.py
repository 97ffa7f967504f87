"""Deployment of a detector in the form that a trial's configuration names."""

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
    """The form that a configuration names; by default the one expected to be the fastest."""
    if config.runtime == AUTO:
        return best(detector, device)
    return Form(config.runtime, "float32" if config.precision == AUTO else config.precision)


def deploy_as(
    config: MeasureConfig, detector: Detector, device: torch.device, calibration: Tensor | None
) -> Deployed:
    """Deploy a detector in the form, with the threads and for the batch size of a configuration.

    Args:
        calibration: float images [M, 3, H, W] in 0..1 for the activation ranges of int8.

    Raises:
        RuntimeUnavailable: the form is not available here.
    """
    with computing(device, "compiling a detector", COMPILING), threads(config.threads):
        form = form_of(config, detector, device)
        deployed = deploy(detector, *form, device, calibration)
        # Runtimes that compile do so when a batch size is first used.
        deployed.network(torch.zeros(config.batch, 3, *detector.config.size, device=device))
        return deployed
