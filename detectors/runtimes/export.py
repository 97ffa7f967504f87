"""Export of a detector as one file for other programs, with decoding and NMS inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.postprocess import class_nms
from detectors.runtimes import Deployed, Form
from detectors.runtimes.contract import exported_runtime
from detectors.runtimes.deployed import calibration_images
from detectors.runtimes.fold import folded
from detectors.runtimes.metadata import metadata
from detectors.runtimes.onnx_graph import INPUT, Inference, example
from detectors.thresholds import Thresholds
from searchspace.errors import InputError
from searchspace.runtimes import Precision

Target = Literal["onnx", "torch-export", "openvino"]

PRECISIONS: dict[Target, tuple[Precision, ...]] = {
    "onnx": ("float32", "int8"),
    "torch-export": ("float32",),
    "openvino": ("float32", "float16", "int8"),
}
"""Precisions by target; OpenVINO only stores weights as float16, it does not compute in it."""

RUN_BY: dict[Target, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
"""What runs a graph of a target here, and writes it."""

SUFFIXES: dict[Target, str] = {
    "torch-export": ".pt2",
    **{target: exported_runtime(runtime).graph.suffix for target, runtime in RUN_BY.items()},
}

METADATA = "metadata.json"
"""The file with the metadata in an archive of `torch.export`."""


def export(
    detector: Detector,
    target: Target,
    path: Path,
    precision: Precision = "float32",
    calibration: Tensor | None = None,
    judge: Callable[[Deployed], None] | None = None,
    thresholds: Thresholds | None = None,
) -> Path:
    """Write a detector as one program from images to detections.

    Input: `images`, float32 [N, 3, H, W] in 0..1, for any N. Outputs: `boxes` [N, D, 4] in
    fractions of the input, `scores` and `labels` [N, D], best first and padded with zeros, as in
    `detectors.postprocess.Detections`. Images are placed on the input as by
    `detectors.canvas.place`; where they are stretched, fractions of the input are those of the
    image. The file holds `detectors.runtimes.metadata`, too.

    Args:
        path: the file; the target's suffix is appended to a name without it. OpenVINO writes the
            weights to a second file with suffix `.bin`.
        calibration: float images [M, 3, H, W] in 0..1 for the activation ranges of int8.
        judge: called with the int8 detector before anything is written; an exception from it ends
            the export. See `detectors.runtimes.agreement`.
        thresholds: least scores of shown detections, for the metadata.

    Raises:
        ValueError: the target or its precision is unknown, or int8 has no calibration images.
        RuntimeUnavailable: the target's library is not installed.
    """
    check_target(target, precision)
    if precision == "int8":
        calibration_images(calibration)
    path, texts = Path(path), metadata(detector, thresholds)
    if path.suffix != SUFFIXES[target]:
        path = path.with_name(path.name + SUFFIXES[target])
    if target == "torch-export":
        program = exported_program(detector)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.export.save(program, path, extra_files={METADATA: json.dumps(texts)})
        return path
    graph = exported_runtime(RUN_BY[target]).graph.of(detector)
    if precision == "int8":
        graph = graph.quantised(calibration_images(calibration))
        if judge:
            form = Form(RUN_BY[target], "int8")
            judge(Deployed(detector, form, torch.device("cpu"), graph.network("int8")))
    path.parent.mkdir(parents=True, exist_ok=True)
    graph.save(path, half=precision == "float16", metadata=texts)
    return path


def check_target(target: str, precision: str) -> tuple[Target, Precision]:
    """A target and its precision, checked; raises `ValueError` if either is unknown."""
    if target not in PRECISIONS:
        raise InputError(f"target {target!r}: choose from {', '.join(PRECISIONS)}")
    if precision not in PRECISIONS[target]:
        raise InputError(f"precision {precision!r}: {target} has {', '.join(PRECISIONS[target])}")
    return target, precision


def exported_program(detector: Detector) -> torch.export.ExportedProgram:
    """A detector exported by `torch.export`; to load it, import torchvision first (for NMS)."""
    copied = folded(detector).cpu()
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        return torch.export.export(
            Inference(copied, _nms_of_two_or_more).eval(),
            (example(copied),),
            dynamic_shapes={INPUT: {0: batch}},
        )


def _nms_of_two_or_more(
    boxes: Tensor, scores: Tensor, labels: Tensor, classes: int, iou: float
) -> Tensor:
    """`class_nms` with two extra boxes of an extra class in each image, dropped afterwards.

    torchvision tells the exporter that NMS keeps at least two boxes, and the program would fail if
    it keeps fewer.
    """
    count = boxes.shape[0]
    apart = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.6, 0.6, 1.0, 1.0]]).expand(count, 2, 4)
    kept = class_nms(
        torch.cat((boxes, apart), 1),
        torch.cat((scores, scores.new_ones(count, 2)), 1),
        torch.cat((labels, labels.new_full((count, 2), classes)), 1),
        classes + 1,
        iou,
    )
    return kept[:, :-2]
