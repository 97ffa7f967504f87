"""Post-training quantisation by the runtime that will run the detector."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

from detectors.data.dataset import Dataset, spread
from detectors.data.loader import evaluation_batches
from detectors.detector import Detector
from detectors.runtimes.contract import exported_runtime
from searchspace.compression import Int8
from searchspace.geometry import Canvas, InputSize


def quantise(detector: Detector, config: Int8, images: Tensor, folder: Path) -> Path:
    """Write a trained detector in int8, from images to detections, as one model into `folder`,
    which `detectors.runtimes.load_detector` reads.

    Args:
        images: float [M, 3, H, W] in 0..1, see `calibration_images`.

    Raises:
        RuntimeUnavailable: the runtime is not installed, or cannot convert the detector.
    """
    return exported_runtime(config.runtime).quantise(detector, images, folder)


def calibration_images(split: Dataset, most: int, size: InputSize | Canvas) -> Tensor:
    """Images [M, 3, H, W] in 0..1 spread evenly over a split, at most `most`."""
    chosen = tuple(spread(split.images, most))
    part = dataclasses.replace(split, images=chosen)
    _, images = next(evaluation_batches(part, size, len(chosen)))
    return images.float() / 255
