"""The available runtimes, the choice of one, and the deployment of a detector."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from detectors.detector import Detector, read_facts
from detectors.runtimes import onnx_runtime, open_vino, pytorch, tensor_rt  # noqa: F401 (register)
from detectors.runtimes.contract import RUNTIMES, exported_runtime
from detectors.runtimes.deployed import Deployed, Form, RuntimeUnavailable
from searchspace.detector import DetectorConfig
from searchspace.errors import InputError
from searchspace.runtimes import Precision

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
    runtime: str,
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
    network = RUNTIMES[runtime].build(detector, precision, device, calibration)
    return Deployed(detector, form, device, network)


def unavailable(form: Form, device: torch.device) -> str | None:
    """Why a form cannot run here; None if it can."""
    runtime = RUNTIMES[RUNTIMES.check(form.runtime)]
    if form.precision not in runtime.precisions:
        return f"{form.precision} is not supported; choose from {', '.join(runtime.precisions)}"
    return runtime.unavailable(form.precision, device)


def available(device: torch.device) -> dict[Form, str | None]:
    """All forms, each with the reason why it cannot run here, or None if it can."""
    forms = [Form(name, p) for name, runtime in RUNTIMES.items() for p in runtime.precisions]
    return {form: unavailable(form, device) for form in forms}


def best(detector: Detector | DetectorConfig, device: torch.device) -> Form:
    """The form that is expected to be the fastest here, without int8."""
    return next(form for form in FASTEST[device.type] if unavailable(form, device) is None)


def load_detector(folder: Path) -> Detector | Deployed:
    """What lies in a folder: a detector as `Detector.save` left it, or one in int8, ready to run.

    Raises:
        ValueError: a file is missing or damaged.
        RuntimeUnavailable: what runs it in int8 cannot run here.
    """
    config, classes, form = read_facts(folder)
    if form is None:
        return Detector.load(folder)
    form, device = Form(*form), torch.device("cpu")
    if reason := unavailable(form, device):
        raise RuntimeUnavailable(f"{folder}: {form}: {reason}")
    network = exported_runtime(form.runtime).load(folder, form.precision)
    return Deployed(Detector(config, classes), form, device, network)
