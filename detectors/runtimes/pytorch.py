"""PyTorch: eager, channels_last, compiled by Inductor, replayed as CUDA graphs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detectors import inductor
from detectors.detector import Detector
from detectors.features import Predictions
from detectors.runtimes.contract import Runtime, register_runtime
from detectors.runtimes.deployed import Network, RuntimeUnavailable
from detectors.runtimes.fold import folded
from detectors.runtimes.onnx_graph import named_tensors, predictions_of
from searchspace.runtimes import RUNTIMES, Precision

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WARM_UP = 3
"""Passes before a CUDA graph is recorded, for libraries to choose their kernels."""


class TorchRuntime(Runtime):
    """A form of PyTorch's own; `form` turns a network on its device into it."""

    packages = ("torch",)

    def unavailable(self, precision: Precision, device: torch.device) -> str | None:
        if device.type == "cuda" and not torch.cuda.is_available():
            return "there is no CUDA device"
        if precision == "float16" and device.type == "cpu":
            return "PyTorch has no fast float16 convolutions on the CPU"
        return None

    def build(
        self,
        detector: Detector,
        precision: Precision,
        device: torch.device,
        calibration: Tensor | None,
    ) -> Network:
        return self.form(_Network(detector, DTYPES[precision]).to(device))

    @abstractmethod
    def form(self, network: nn.Module) -> Network:
        """A network on its device, in this form."""


@register_runtime
class Eager(TorchRuntime):
    """PyTorch as it is."""

    name = "eager"
    precisions = RUNTIMES[name]

    def form(self, network: nn.Module) -> Network:
        return lambda batch: predictions_of(network(batch.contiguous()))


@register_runtime
class ChannelsLast(TorchRuntime):
    """PyTorch with channels innermost."""

    name = "channels_last"
    precisions = RUNTIMES[name]

    def form(self, network: nn.Module) -> Network:
        network = network.to(memory_format=torch.channels_last)
        return lambda batch: predictions_of(network(_innermost(batch)))


@register_runtime
class Compiled(TorchRuntime):
    """Compiled by Inductor with its weights as constants, once for every size of batch."""

    name = "compile"
    precisions = RUNTIMES[name]

    def unavailable(self, precision: Precision, device: torch.device) -> str | None:
        return super().unavailable(precision, device) or inductor.missing(device)

    def form(self, network: nn.Module) -> Network:
        network, compiled = network.to(memory_format=torch.channels_last), {}

        def run(batch: Tensor) -> Predictions:
            batch = _innermost(batch)
            if batch.shape not in compiled:
                compiled[batch.shape] = _compile(network, batch)
            return predictions_of(compiled[batch.shape](batch))

        return run


@register_runtime
class CudaGraphs(TorchRuntime):
    """Recorded once for every size of batch, then replayed without the cost of launching."""

    name = "cudagraphs"
    precisions = RUNTIMES[name]

    def unavailable(self, precision: Precision, device: torch.device) -> str | None:
        if device.type != "cuda":
            return "CUDA graphs need a CUDA device"
        return super().unavailable(precision, device)

    def form(self, network: nn.Module) -> Network:
        network, recordings = network.to(memory_format=torch.channels_last), {}

        def run(batch: Tensor) -> Predictions:
            batch = _innermost(batch)
            if batch.shape not in recordings:
                recordings[batch.shape] = _Recording.of(network, batch)
            return predictions_of(recordings[batch.shape].replay(batch))

        return run


class _Network(nn.Module):
    """A detector from images to its raw predictions by name, in float32.

    Convolutions compute in `dtype`; normalisation of images and batch norms that are not folded
    compute in float32.
    """

    def __init__(self, detector: Detector, dtype: torch.dtype) -> None:
        super().__init__()
        self.detector = folded(detector)
        for layer in self.detector.modules():
            if not isinstance(layer, nn.BatchNorm2d):
                for parameter in layer.parameters(recurse=False):
                    parameter.data = parameter.data.to(dtype)
        self.detector.requires_grad_(False)
        cast = nn.Sequential(_Cast(dtype), self.detector.backbone)
        self.detector.add_module("backbone", cast)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        tensors = named_tensors(self.detector.predict(batch))
        return {name: tensor.float() for name, tensor in tensors.items()}


class _Cast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def _compile(network: nn.Module, batch: Tensor) -> Callable[[Tensor], dict[str, Tensor]]:
    inductor.keep_in_own_folder()
    try:
        # Each exported program has its own code object: Dynamo counts compilations per code object,
        # and stops compiling beyond a limit.
        program = torch.export.export(network, (batch,)).module()
        compiled = torch.compile(program, fullgraph=True, dynamic=False, options={"freezing": True})
        compiled(batch)
    except Exception as error:
        raise RuntimeUnavailable(f"torch.compile cannot compile this detector: {error}") from error
    return compiled


@dataclass(frozen=True)
class _Recording:
    """A CUDA graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Tensor
    outputs: dict[str, Tensor]

    @classmethod
    def of(cls, network: nn.Module, batch: Tensor) -> _Recording:
        batch = batch.clone()
        stream = torch.cuda.Stream(batch.device)
        stream.wait_stream(torch.cuda.current_stream(batch.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                network(batch)
        torch.cuda.current_stream(batch.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = network(batch)
        return cls(graph, batch, outputs)

    def replay(self, batch: Tensor) -> dict[str, Tensor]:
        self.batch.copy_(batch)
        self.graph.replay()
        return {name: output.clone() for name, output in self.outputs.items()}


def _innermost(batch: Tensor) -> Tensor:
    return batch.contiguous(memory_format=torch.channels_last)
