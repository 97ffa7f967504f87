"""Export to the graphs of ONNX and OpenVINO."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes.contract import ExportedGraph, exported_runtime
from detectors.runtimes.deployed import calibration_images
from detectors.runtimes.libraries import missing
from detectors.runtimes.onnx_runtime import OnnxGraph
from detectors.runtimes.open_vino import OpenVinoGraph
from detectors.runtimes.program import Calibration, Program, Target, Wanted
from searchspace.runtimes import Precision

CPU = torch.device("cpu")


class GraphProgram(Program):
    """A graph; float16 is how it is stored."""

    def __init__(self, graph: ExportedGraph, precision: Precision = "float32") -> None:
        self.graph, self.precision = graph, precision
        self._run = graph.runner("float32", graph.outputs())

    def run(self, batch: Tensor) -> list[Tensor]:
        return self._run(batch)

    def save(self, path: Path, texts: Mapping[str, str]) -> None:
        self.graph.save(path, half=self.precision == "float16", metadata=texts)

    def in_float(self) -> tuple[str, ...]:
        return self.graph.in_float() if self.precision == "int8" else ()


class GraphTarget(Target):
    """A format of graphs.

    Attributes:
        graph: the class of its graphs.
    """

    graph: type[ExportedGraph]
    can_cut = True

    def unavailable(self, precision: Precision) -> str | None:
        quantiser = ["nncf"] if precision == "int8" else []
        # OpenVINO computes in float32 wherever it runs; what is stored does not matter.
        return exported_runtime(self.runtime).unavailable("float32", CPU) or missing(*quantiser)

    def program(self, detector: Detector, wanted: Wanted, how: Calibration | None) -> Program:
        graph = self.graph.of(detector, wanted.outputs, wanted.image_size).only(wanted.outputs)
        if wanted.precision == "int8":
            images = calibration_images(how.images if how else None)
            if how and how.figure:
                graph = graph.controlled(images, how.figure, how.max_drop)
            else:
                graph = graph.quantised(images)
        graph = graph.only(wanted.outputs, wanted.batch)
        if wanted.precision == "float16":
            graph = _halved(graph)
        return GraphProgram(graph, wanted.precision)

    def load(self, path: Path) -> tuple[Program, dict[str, str]]:
        graph = self.graph.load(path)
        return GraphProgram(graph), graph.metadata


def _halved(graph: ExportedGraph) -> ExportedGraph:
    """A graph as it is stored in float16, so that what is compared is what is written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"half{graph.suffix}"
        graph.save(path, half=True)
        return graph.load(path)


class Onnx(GraphTarget):
    """ONNX, run here by ONNX Runtime."""

    name = "onnx"
    suffix = OnnxGraph.suffix
    precisions = ("float32", "int8")
    packages = ("onnxruntime",)
    runtime = "onnxruntime"
    graph = OnnxGraph


class OpenVinoModel(GraphTarget):
    """OpenVINO's IR; its weights are in a second file with suffix `.bin`."""

    name = "openvino"
    suffix = OpenVinoGraph.suffix
    precisions = ("float32", "float16", "int8")
    packages = ("openvino",)
    runtime = "openvino"
    graph = OpenVinoGraph
