"""Export by `torch.export`, which `torch.export.load` and a C++ program of PyTorch read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.postprocess import class_nms
from detectors.runtimes.fold import folded
from detectors.runtimes.onnx_graph import INPUT, Inference, example
from detectors.runtimes.program import Calibration, Program, Target, Wanted
from detectors.runtimes.whole_image import WholeImage
from searchspace.runtimes import Precision

METADATA = "metadata.json"
"""The file with the metadata in an archive."""


class TorchProgram(Program):
    """An exported program."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.program = program
        self._module: Callable[..., Any] = program.module()

    def run(self, batch: Tensor) -> list[Tensor]:
        return list(self._module(batch))

    def save(self, path: Path, texts: Mapping[str, str]) -> None:
        torch.export.save(self.program, path, extra_files={METADATA: json.dumps(dict(texts))})


class TorchExport(Target):
    """An archive of `torch.export`; to load it, import torchvision first (for NMS)."""

    name = "torch-export"
    suffix = ".pt2"
    precisions = ("float32",)
    packages = ("torch", "torchvision")
    runtime = "torch-export"
    can_cut = True

    def unavailable(self, precision: Precision) -> str | None:
        return None

    def program(self, detector: Detector, wanted: Wanted, how: Calibration | None) -> Program:
        return TorchProgram(exported_program(detector, wanted))

    def load(self, path: Path) -> tuple[Program, dict[str, str]]:
        extra = {METADATA: ""}
        program = torch.export.load(path, extra_files=extra)
        return TorchProgram(program), json.loads(extra[METADATA] or "{}")


def exported_program(detector: Detector, wanted: Wanted) -> torch.export.ExportedProgram:
    """A detector exported by `torch.export`."""
    copied = folded(detector).cpu()
    if wanted.image_size is not None:
        whole = WholeImage(copied, wanted.image_size, _nms_of_two_or_more).eval()
        with torch.no_grad():
            return torch.export.export(whole, (torch.zeros(1, 3, *wanted.image_size),))
    shapes = {INPUT: {0: torch.export.Dim("batch")}} if wanted.batch is None else None
    with torch.no_grad():
        return torch.export.export(
            Inference(copied, wanted.outputs, _nms_of_two_or_more).eval(),
            (example(copied, wanted.batch or 2),),
            dynamic_shapes=shapes,
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
