"""`Deployed`: a detector in a runtime."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.features import Predictions
from detectors.postprocess import Detections
from searchspace.detector import DetectorConfig
from searchspace.errors import InputError
from searchspace.geometry import Canvas
from searchspace.runtimes import Precision


class Form(NamedTuple):
    """A runtime and the precision in which it computes convolutions."""

    runtime: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


def calibration_images(given: Tensor | None) -> Tensor:
    """The images [M, 3, S, S] that int8 takes the ranges of values from; raises `InputError`."""
    if given is None or not len(given):
        raise InputError("precision int8: give calibration images")
    return given


class RuntimeUnavailable(InputError):
    """A runtime is not installed, lacks this precision here, or cannot convert the model."""


Network = Callable[[Tensor], Predictions]


class Deployed:
    """A detector in a runtime; it can be neither trained nor changed.

    Attributes:
        form: the runtime and its precision.
        config, classes: those of the detector.
        device: the device on which batches are expected.
        head: turns the network's raw predictions into detections.
    """

    def __init__(
        self, detector: Detector, form: Form, device: torch.device, network: Network
    ) -> None:
        self.form = form
        self.config: DetectorConfig = detector.config
        self.classes = detector.classes
        self.device = device
        self.head = copy.deepcopy(detector.head).to(device)
        self._network = network

    @property
    def canvas(self) -> Canvas:
        """How images are placed on the network's input."""
        return self.config.canvas

    @property
    def num_classes(self) -> int:
        return self.config.num_classes

    @torch.inference_mode()
    def network(self, batch: Tensor) -> Predictions:
        """Raw predictions, float32, for images [N, 3, H, W] in 0..1."""
        return self._network(batch)

    @torch.inference_mode()
    def detect(self, batch: Tensor) -> Detections:
        """Detections for images [N, 3, H, W] in 0..1: network, decoding, NMS."""
        return self.finish(self._network(batch))

    @torch.inference_mode()
    def finish(self, predictions: Predictions) -> Detections:
        """Detections from raw predictions: decoding, NMS."""
        return self.head.detections(predictions)

    def close(self) -> None:
        """Free the runtime's memory; the detector cannot be called afterwards."""
        self._network = _closed


def _closed(batch: Tensor) -> Predictions:
    raise RuntimeError("this deployed detector was closed")
