"""Export to an engine of TensorRT, for the GPU that it is built on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes.libraries import library, missing
from detectors.runtimes.onnx_graph import INPUT
from detectors.runtimes.onnx_runtime import OnnxGraph
from detectors.runtimes.program import Calibration, Program, Target, Wanted
from detectors.runtimes.sidecar import read_texts, write_texts
from detectors.runtimes.tensor_rt import context_of, engine_plan
from searchspace.runtimes import Precision

MOST_IMAGES = 16
"""The largest batch of an engine that takes any number of images up to it."""

CUDA = torch.device("cuda")


class EngineProgram(Program):
    """An engine, as the bytes of its file."""

    def __init__(self, plan: bytes) -> None:
        trt = library("tensorrt")
        self.plan = plan
        self._context = context_of(plan)
        engine = self._context.engine
        names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
        integers = {trt.int32: torch.int32, trt.int64: torch.int64}
        self._outputs = {
            name: integers.get(engine.get_tensor_dtype(name), torch.float32)
            for name in names
            if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT
        }

    def run(self, batch: Tensor) -> list[Tensor]:
        context, batch = self._context, batch.to(CUDA).contiguous()
        context.set_input_shape(INPUT, tuple(batch.shape))
        context.set_tensor_address(INPUT, batch.data_ptr())
        outputs = []
        for name, dtype in self._outputs.items():
            shape = tuple(context.get_tensor_shape(name))
            outputs.append(torch.empty(shape, dtype=dtype, device=CUDA))
            context.set_tensor_address(name, outputs[-1].data_ptr())
        context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        return [output.cpu() for output in outputs]

    def save(self, path: Path, texts: Mapping[str, str]) -> None:
        path.write_bytes(self.plan)
        write_texts(path, texts)


class TensorRTEngine(Target):
    """TensorRT's engines, made from the ONNX graph."""

    name = "tensorrt"
    suffix = ".engine"
    precisions = ("float32", "float16")
    packages = ("tensorrt",)
    runtime = "tensorrt"

    def unavailable(self, precision: Precision) -> str | None:
        if reason := missing("onnx", "tensorrt"):
            return reason
        return None if torch.cuda.is_available() else "TensorRT needs a CUDA device"

    def program(self, detector: Detector, wanted: Wanted, how: Calibration | None) -> Program:
        graph = OnnxGraph.of(detector, wanted.outputs).only(wanted.outputs)
        sizes = (wanted.batch,) * 3 if wanted.batch else (1, 1, MOST_IMAGES)
        shapes = [(size, 3, *detector.config.size) for size in sizes]
        return EngineProgram(engine_plan(graph.model.SerializeToString(), shapes, wanted.precision))

    def load(self, path: Path) -> tuple[Program, dict[str, str]]:
        return EngineProgram(path.read_bytes()), read_texts(path)
