"""Deployed detectors: PyTorch (eager, compiled, CUDA graphs), ONNX Runtime, OpenVINO, TensorRT."""

from detectors.runtimes.choosing import available, best, deploy, load_detector
from detectors.runtimes.contract import (
    RUNTIMES,
    ExportedGraph,
    ExportedRuntime,
    Runtime,
    register_runtime,
)
from detectors.runtimes.deployed import Deployed, Form, RuntimeUnavailable

__all__ = [
    "RUNTIMES",
    "Deployed",
    "ExportedGraph",
    "ExportedRuntime",
    "Form",
    "Runtime",
    "RuntimeUnavailable",
    "available",
    "best",
    "deploy",
    "load_detector",
    "register_runtime",
]
