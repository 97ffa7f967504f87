"""What scores and measures a trial's detectors: on this node, or wherever the target device is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from detectors.cost import Cost
from detectors.data.coco import CocoSplit
from detectors.data.loader import evaluation_batches
from detectors.deployment import deploy_as
from detectors.detector import Detector
from detectors.evaluate import Metrics, evaluate
from detectors.speed import hardware_name, measure
from detectors.timing.store import SpeedStore
from launch.inputs import TrialData
from searchspace.measuring import MeasureConfig

FRAMES = 8
"""Validation images that frames per second are measured on."""

CALIBRATION = 32
"""Training images that int8 takes its ranges of values from."""


class Meter(Protocol):
    """Scores and measures detectors in the form that a configuration names.

    Attributes:
        hardware: what it measures on.
    """

    hardware: str

    def evaluate(self, detector: Detector, config: MeasureConfig) -> Metrics:
        """COCO's metrics on the validation split."""

    def measure(self, detector: Detector, config: MeasureConfig) -> Cost:
        """What a detector costs."""


@dataclass(frozen=True)
class LocalMeter:
    """Scores and measures on a device of this node.

    Attributes:
        speeds: folder of the speeds that are known already; see `SpeedStore`.
    """

    data: TrialData
    device: torch.device
    speeds: Path

    @property
    def hardware(self) -> str:
        return hardware_name(self.device)

    def evaluate(self, detector: Detector, config: MeasureConfig) -> Metrics:
        deployed = deploy_as(config, detector, self.device, self._calibration(detector))
        try:
            return evaluate(deployed, self.data.val, self.device)
        finally:
            deployed.close()

    def measure(self, detector: Detector, config: MeasureConfig) -> Cost:
        frames = _images(self.data.val, detector, FRAMES)
        return measure(detector, config, self.device, frames, SpeedStore(self.speeds))

    def _calibration(self, detector: Detector) -> Tensor:
        return _images(self.data.train, detector, CALIBRATION)


def _images(split: CocoSplit, detector: Detector, count: int) -> Tensor:
    """The first images of a split, [N, 3, H, W] in 0..1."""
    batches = evaluation_batches(split, detector.config.input_size, count)
    return next(batches)[1].float() / 255
