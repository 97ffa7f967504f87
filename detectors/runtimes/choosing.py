"""The available runtimes, the choice of one, and the deployment of a detector."""

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
"""By runtime, a module with its `PRECISIONS`, `unavailable` (why not here) and `build`."""

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
"""Forms by device, expected fastest first; the last one is always available."""


def deploy(
    detector: Detector,
    runtime: Runtime,
    precision: Precision,
    device: torch.device,
    calibration: Tensor | None = None,
) -> Deployed:
    """A copy of a detector deployed in a form, with batch norms folded into convolutions.

    A CPU runtime uses `torch.get_num_threads()` threads. Runtimes that compile do so when a batch
    size is first used.

    Args:
        calibration: float images [M, 3, S, S] in 0..1 for the activation ranges of int8.

    Raises:
        RuntimeUnavailable: the runtime is not installed, does not support this device or
            precision, or cannot convert the detector.
        ValueError: int8 without calibration images.
    """
    form = Form(runtime, precision)
    if reason := unavailable(form, device):
        raise RuntimeUnavailable(f"{form}: {reason}")
    if precision == "int8" and (calibration is None or not len(calibration)):
        raise InputError(f"{form}: give calibration images for the ranges of int8")
    network = RUNTIMES[runtime].build(detector, form, device, calibration)
    return Deployed(detector, form, device, network)


def unavailable(form: Form, device: torch.device) -> str | None:
    """Why a form cannot run here; None if it can."""
    module = RUNTIMES[form.runtime]
    if form.precision not in module.PRECISIONS:
        return f"{form.precision} is not supported; choose from {', '.join(module.PRECISIONS)}"
    return module.unavailable(form, device)


def available(device: torch.device) -> dict[Form, str | None]:
    """All forms, each with the reason why it cannot run here, or None if it can."""
    forms = [Form(runtime, p) for runtime, module in RUNTIMES.items() for p in module.PRECISIONS]
    return {form: unavailable(form, device) for form in forms}


def best(detector: Detector | DetectorConfig, device: torch.device) -> Form:
    """The form that is expected to be the fastest here, without int8."""
    return next(form for form in FASTEST[device.type] if unavailable(form, device) is None)
