"""Scoring and measuring of a trial's detectors: on this node, or on the target device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from compress import calibration_images
from detectors.data.dataset import Dataset
from detectors.data.loader import evaluation_batches
from detectors.data.node_cache import NO_CACHE, NodeCache
from detectors.detector import Detector
from detectors.evaluate import Metrics, coco_metrics, look_at_split
from detectors.runtimes import Deployed
from detectors.runtimes.deployment import deploy_as
from detectors.timing.cost import Cost
from detectors.timing.measure import hardware_name, measure
from detectors.timing.store import SpeedStore
from launch.figures import own_figures, own_versions
from launch.trial.data import TrialData
from searchspace.geometry import Canvas
from searchspace.measuring import MeasureConfig

FRAMES = 8
"""Number of validation images that frames per second are measured on."""


class Meter(Protocol):
    """Scores and measures detectors in the form that a configuration names."""

    @property
    def hardware(self) -> str:
        """The name of the device that it measures on."""
        ...

    def evaluate(self, detector: Detector, config: MeasureConfig, calibration: int = 0) -> Metrics:
        """COCO's metrics on the validation split.

        Args:
            calibration: number of training images that int8 is calibrated on.
        """

    def measure(self, detector: Detector, config: MeasureConfig) -> Cost:
        """The cost of a detector."""


def score(
    detector: Detector | Deployed,
    split: Dataset,
    device: torch.device,
    most: int | None = None,
    engine: str = "hotcoco",
    bounded: bool = True,
    cache: NodeCache = NO_CACHE,
) -> Metrics:
    """COCO's metrics on a split, and the registered ones.

    Args:
        most, engine, bounded: see `coco_metrics`.
        cache: keeps the images for further evaluations of the split.

    Raises:
        FigureError: a registered one gives what is no value of a figure.
        ValueError: the split has other classes than the detector was trained for.
    """
    detections, inputs = look_at_split(detector, split, device, cache)
    metrics = coco_metrics(split, detections, most, engine, bounded)
    tiles = detector.canvas.tiles
    if tiles is not None and tiles.threshold is not None:
        metrics = metrics.model_copy(update={"inputs": inputs})
    if not own_versions("metrics"):
        return metrics
    return metrics.model_copy(update={"own": own_figures("metrics", list(detections), split)})


def first_frames(split: Dataset, canvas: Canvas, most: int = FRAMES) -> Tensor:
    """The inputs that speeds are measured on, uint8 [M, 3, H, W]: the first of a split.

    Args:
        most: how many.
    """
    shown = replace(split, images=split.images[:most])
    return next(evaluation_batches(shown, canvas, most))[1]


@dataclass(frozen=True)
class LocalMeter:
    """Scores and measures on a device of this node.

    Attributes:
        speeds: folder of cached speeds; see `SpeedStore`.
    """

    data: TrialData
    device: torch.device
    speeds: Path

    @property
    def hardware(self) -> str:
        return hardware_name(self.device)

    def evaluate(self, detector: Detector, config: MeasureConfig, calibration: int = 0) -> Metrics:
        images = self._spread(detector, calibration) if calibration else None
        deployed = deploy_as(config, detector, self.device, images)
        try:
            most, engine = config.max_detections, config.metrics
            return score(deployed, self.data.val, self.device, most, engine, cache=self.data.cache)
        finally:
            deployed.close()

    def measure(self, detector: Detector, config: MeasureConfig) -> Cost:
        frames = first_frames(self.data.val, detector.config.canvas).float() / 255
        cost = measure(detector, config, self.device, frames, SpeedStore(self.speeds))
        return cost.model_copy(update={"own": own_figures("cost", detector, cost)})

    def _spread(self, detector: Detector, most: int) -> Tensor:
        return calibration_images(self.data.train, most, detector.config.canvas)
