"""Deployed detectors: PyTorch (eager, compiled, CUDA graphs), ONNX Runtime, OpenVINO, TensorRT."""

from detectors.runtimes.choosing import available, best, deploy
from detectors.runtimes.deployed import Deployed, Form, RuntimeUnavailable

__all__ = ["Deployed", "Form", "RuntimeUnavailable", "available", "best", "deploy"]
