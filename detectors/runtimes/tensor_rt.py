"""TensorRT: NVIDIA's runtime, for its GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.features import Predictions
from detectors.runtimes.contract import Runtime, register_runtime
from detectors.runtimes.deployed import Network, RuntimeUnavailable
from detectors.runtimes.libraries import library, missing
from detectors.runtimes.onnx_graph import INPUT, predictions_of
from detectors.runtimes.onnx_runtime import OnnxGraph
from searchspace.runtimes import RUNTIMES, Precision


@register_runtime
class TensorRT(Runtime):
    """TensorRT's engines, one for every size of batch that a detector meets."""

    name = "tensorrt"
    precisions = RUNTIMES[name]
    packages = ("tensorrt",)

    def unavailable(self, precision: Precision, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"TensorRT runs on CUDA devices, not on {device.type}"
        return missing("onnx", "tensorrt")

    def build(
        self,
        detector: Detector,
        precision: Precision,
        device: torch.device,
        calibration: Tensor | None,
    ) -> Network:
        graph = OnnxGraph.of(detector)
        names = graph.raw()
        model = graph.part(names).SerializeToString()
        contexts: dict[torch.Size, Any] = {}

        def run(batch: Tensor) -> Predictions:
            batch = batch.contiguous()
            if batch.shape not in contexts:
                contexts[batch.shape] = _context(model, batch.shape, precision)
            return predictions_of(_run(contexts[batch.shape], batch, names))

        return run


def _context(model: bytes, shape: torch.Size, precision: Precision) -> Any:
    """An engine for one batch shape, ready to run."""
    context = context_of(engine_plan(model, (shape, shape, shape), precision))
    context.set_input_shape(INPUT, shape)
    return context


def engine_plan(model: bytes, shapes: Sequence[Sequence[int]], precision: Precision) -> bytes:
    """An engine in the bytes of its file, for this GPU and this version of TensorRT.

    Args:
        model: in ONNX format.
        shapes: of the input: the smallest, the one to be fast for, the largest.

    Raises:
        RuntimeUnavailable: TensorRT refuses the model.
    """
    trt = library("tensorrt")
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(k)) for k in range(parser.num_errors))
        raise RuntimeUnavailable(f"TensorRT cannot convert this detector: {errors}")
    config = builder.create_builder_config()
    if precision == "float16":
        config.set_flag(trt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, *map(tuple, shapes))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeUnavailable("TensorRT cannot build an engine for this detector")
    return bytes(plan)


def context_of(plan: bytes) -> Any:
    """An engine, ready to run once the shape of its input is set."""
    trt = library("tensorrt")
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    return runtime.deserialize_cuda_engine(plan).create_execution_context()


def _run(context: Any, batch: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    stream = torch.cuda.current_stream(batch.device)
    context.set_tensor_address(INPUT, batch.data_ptr())
    outputs = {name: batch.new_empty(tuple(context.get_tensor_shape(name))) for name in names}
    for name, output in outputs.items():
        context.set_tensor_address(name, output.data_ptr())
    context.execute_async_v3(stream.cuda_stream)
    return outputs
