"""Which runtimes there are, which one is taken, and a detector in its form."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes import onnx_runtime, open_vino, pytorch, tensor_rt
from detectors.runtimes.deployed import Deployed, Form, RuntimeUnavailable
from searchspace.detector import DetectorConfig
from searchspace.errors import InputError
from searchspace.runtimes import Precision, Runtime

RUNTIMES: dict[Runtime, ModuleType] = {
    "eager": pytorch,
    "channels_last": pytorch,
    "compile": pytorch,
    "cudagraphs": pytorch,
    "onnxruntime": onnx_runtime,
    "openvino": open_vino,
    "tensorrt": tensor_rt,
}
"""By runtime: its `PRECISIONS`, why a form is `unavailable`, and how to `build` one."""

FASTEST = {
    "cpu": (
        Form("openvino", "bfloat16"),
        Form("openvino", "float32"),
        Form("onnxruntime", "float32"),
        Form("channels_last", "float32"),
    ),
    "cuda": (
        Form("tensorrt", "float16"),
        Form("cudagraphs", "float16"),
    ),
}
"""Forms by device, the one that is expected to be the fastest first; the last is always there."""


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
    form = Form(runtime, precision)
    if reason := unavailable(form, device):
        raise RuntimeUnavailable(f"{form}: {reason}")
    if precision == "int8" and (calibration is None or not len(calibration)):
        raise InputError(f"{form}: give calibration images, which int8 takes its ranges from")
    network = RUNTIMES[runtime].build(detector, form, device, calibration)
    return Deployed(detector, form, device, network)


def unavailable(form: Form, device: torch.device) -> str | None:
    """Why a form cannot run here; None where it can."""
    module = RUNTIMES[form.runtime]
    if form.precision not in module.PRECISIONS:
        return f"there is no {form.precision}; there are {', '.join(module.PRECISIONS)}"
    return module.unavailable(form, device)


def available(device: torch.device) -> dict[Form, str | None]:
    """Every form there is, with the reason why it cannot run here; None where it can."""
    forms = [Form(runtime, p) for runtime, module in RUNTIMES.items() for p in module.PRECISIONS]
    return {form: unavailable(form, device) for form in forms}


def best(detector: Detector | DetectorConfig, device: torch.device) -> Form:
    """The form that is expected to be the fastest of those that can run here, int8 left out."""
    return next(form for form in FASTEST[device.type] if unavailable(form, device) is None)
