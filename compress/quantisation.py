"""Post-training quantisation by the runtime that will run the detector."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from detectors.data.dataset import Dataset, spread
from detectors.data.loader import evaluation_batches
from detectors.detector import Detector
from detectors.runtimes.contract import exported_runtime
from detectors.tiling import looks_at
from searchspace.compression import Int8
from searchspace.geometry import Canvas, InputSize, canvas_of


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
    """Inputs [M, 3, H, W] in 0..1 spread evenly over a split's images and their tiles, at most
    `most`."""
    looks = spread(looks_at(split.sizes, canvas_of(size)), most)
    _, images = next(evaluation_batches(split, size, len(looks), looks=looks))
    return images.float() / 255
