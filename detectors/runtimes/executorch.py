"""Export to ExecuTorch, PyTorch's runtime for phones and small devices, with XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes.deployed import RuntimeUnavailable
from detectors.runtimes.libraries import library, missing
from detectors.runtimes.program import Calibration, Program, Target, Wanted
from detectors.runtimes.sidecar import read_texts, write_texts
from detectors.runtimes.torch_program import exported_program
from searchspace.runtimes import Precision


class ExecuTorchProgram(Program):
    """A program of ExecuTorch, as the bytes of its file."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        runtime = library("executorch.runtime").Runtime.get()
        self._program = runtime.load_program(content)
        self._method: Any = self._program.load_method("forward")

    def run(self, batch: Tensor) -> list[Tensor]:
        return [output.clone() for output in self._method.execute([batch.contiguous()])]

    def save(self, path: Path, texts: Mapping[str, str]) -> None:
        path.write_bytes(self.content)
        write_texts(path, texts)


class ExecuTorch(Target):
    """ExecuTorch on the CPU. It has no NMS, and a file takes one number of images only."""

    name = "executorch"
    suffix = ".pte"
    precisions = ("float32",)
    packages = ("executorch",)
    runtime = "executorch"
    has_nms = False
    any_batch = False

    def unavailable(self, precision: Precision) -> str | None:
        return missing("executorch")

    def program(self, detector: Detector, wanted: Wanted, how: Calibration | None) -> Program:
        exir = library("executorch.exir")
        xnnpack = library("executorch.backends.xnnpack.partition.xnnpack_partitioner")
        exported = exported_program(detector, wanted)
        try:
            edge = exir.to_edge_transform_and_lower(
                exported, partitioner=[xnnpack.XnnpackPartitioner()]
            )
            return ExecuTorchProgram(bytes(edge.to_executorch().buffer))
        except RuntimeError as error:
            raise RuntimeUnavailable(f"ExecuTorch cannot convert this detector: {error}") from None

    def load(self, path: Path) -> tuple[Program, dict[str, str]]:
        return ExecuTorchProgram(path.read_bytes()), read_texts(path)
