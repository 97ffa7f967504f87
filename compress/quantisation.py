"""Post-training quantisation by the runtime that will run the detector."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from detectors.data.coco import CocoSplit
from detectors.data.loader import evaluation_batches
from detectors.detector import Detector
from detectors.runtimes import Deployed, Form
from detectors.runtimes.onnx_runtime import OnnxGraph
from detectors.runtimes.open_vino import OpenVinoGraph
from searchspace.compression import Int8
from searchspace.geometry import InputSize

CPU = torch.device("cpu")
GRAPHS = {"openvino": OpenVinoGraph, "onnxruntime": OnnxGraph}
"""By runtime, the class that quantises, saves and runs a detector."""


def quantise(detector: Detector, config: Int8, images: Tensor, folder: Path) -> Path:
    """Write a trained detector in int8, from images to detections, as one model in `folder`.

    Args:
        images: float [M, 3, H, W] in 0..1, see `calibration_images`.

    Raises:
        RuntimeUnavailable: the runtime is not installed, or cannot convert the detector.
    """
    graph = GRAPHS[config.runtime]
    path = _path(config, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    graph.of(detector).quantised(images).save(path)
    return path


def load_quantised(detector: Detector, config: Int8, folder: Path) -> Deployed:
    """Load the model that `quantise` wrote, ready to run."""
    network = GRAPHS[config.runtime].load(_path(config, folder)).network("int8")
    return Deployed(detector, Form(config.runtime, "int8"), CPU, network)


def calibration_images(split: CocoSplit, most: int, size: InputSize) -> Tensor:
    """Images [M, 3, H, W] in 0..1 spread evenly over a split, at most `most`."""
    every, count = len(split.images), min(most, len(split.images))
    chosen = tuple(split.images[place * every // count] for place in range(count))
    _, images = next(evaluation_batches(dataclasses.replace(split, images=chosen), size, count))
    return images.float() / 255


def _path(config: Int8, folder: Path) -> Path:
    return Path(folder) / f"detector{GRAPHS[config.runtime].suffix}"
