"""Which runtimes there are, which one is taken, and a detector in its form."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes.deployed import Deployed, Form
from searchspace.detector import DetectorConfig
from searchspace.runtimes import Precision, Runtime


def deploy(
    detector: Detector,
    runtime: Runtime,
    precision: Precision,
    device: torch.device,
    calibration: Tensor | None = None,
) -> Deployed:
    """A copy of a detector in the form of a runtime, batch norms folded into convolutions.

    A CPU runtime takes as many threads as `torch.get_num_threads()` says now. Runtimes that compile
    do so for each size of batch when it is first seen.

    Args:
        calibration: float images [M, 3, S, S] in 0..1 that int8 takes the ranges of values from.

    Raises:
        RuntimeUnavailable: the runtime is not installed, does not run on this device or in this
            precision, or refuses the detector.
        ValueError: int8 without calibration images.
    """
    raise NotImplementedError


def available(device: torch.device) -> dict[Form, str | None]:
    """Every form there is, with the reason why it cannot run here; None where it can."""
    raise NotImplementedError


def best(detector: Detector | DetectorConfig, device: torch.device) -> Form:
    """The form that is expected to be the fastest of those that can run here, int8 left out."""
    raise NotImplementedError
