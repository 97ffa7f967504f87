"""OpenVINO: Intel's runtime, which runs detectors on x86 and ARM processors."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes.contract import (
    ExportedGraph,
    ExportedRuntime,
    Figure,
    Run,
    register_runtime,
)
from detectors.runtimes.control import OUTSIDE_NETWORK, quantised, quantised_with_control
from detectors.runtimes.deployed import RuntimeUnavailable
from detectors.runtimes.libraries import library, missing
from detectors.runtimes.onnx_graph import DETECTIONS, RAW, onnx_graph
from searchspace.geometry import Size
from searchspace.runtimes import RUNTIMES, Precision

HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
CAPABILITIES = {"bfloat16": "BF16", "float16": "FP16", "int8": "INT8"}
"""By precision, OpenVINO's name of the capability that it needs of a processor."""

SCOPE = {
    "patterns": [OUTSIDE_NETWORK],
    "types": ["Power", "ReduceSum", "Sqrt", "Divide", "Multiply"],
}
"""What NNCF leaves in float: all but the network, and its L2 norms, whose sums of squares need more
range than eight bits."""

WEIGHTED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData")

OURS = "sparrow"
"""The section of a model's information that holds its metadata."""


class OpenVinoGraph(ExportedGraph):
    """A detector as an OpenVINO model that computes both detections and raw predictions."""

    suffix = ".xml"

    @classmethod
    def of(
        cls,
        detector: Detector,
        outputs: Sequence[str] = DETECTIONS,
        image_size: Size | None = None,
    ) -> OpenVinoGraph:
        core = _core()
        try:
            return cls(core.read_model(onnx_graph(detector, outputs, image_size)))
        except RuntimeError as error:
            raise RuntimeUnavailable(f"OpenVINO cannot convert this detector: {error}") from None

    @classmethod
    def load(cls, path: Path) -> OpenVinoGraph:
        return cls(_core().read_model(path))

    def quantised(self, images: Tensor) -> OpenVinoGraph:
        """The same in int8, calibrated on images [M, 3, H, W] in 0..1 (NNCF).

        The network is quantised except for its L2 norms; box decoding and NMS stay as they are.
        """
        return OpenVinoGraph(quantised(self.model, images, SCOPE))

    def controlled(self, images: Tensor, figure: Figure, max_drop: float) -> OpenVinoGraph:
        def runs(compiled: Any) -> Run:
            return lambda batch: _run(compiled, batch)

        return OpenVinoGraph(
            quantised_with_control(self.model, images, runs, figure, max_drop, SCOPE)
        )

    def in_float(self) -> tuple[str, ...]:
        return tuple(
            step.get_friendly_name()
            for step in self.model.get_ops()
            if step.get_type_name() in WEIGHTED
            if re.match(OUTSIDE_NETWORK, step.get_friendly_name()) is None
            if not _holds_int8(step.input_value(1).get_node())
        )

    def only(self, outputs: Sequence[str], batch: int | None = None) -> OpenVinoGraph:
        part = OpenVinoGraph(self.model.clone())
        tensors, inputs = part._tensors(), part.model.get_parameters()
        chosen = [tensors[name] for name in outputs]
        part = OpenVinoGraph(library("openvino").Model(chosen, inputs, "detector"))
        if batch is not None:
            shape = part.model.input().get_partial_shape()
            part.model.reshape([batch, *(axis.get_length() for axis in list(shape)[1:])])
        return part

    def save(
        self, path: Path, half: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        for name, text in (metadata or {}).items():
            self.model.set_rt_info(text, [OURS, name])
        library("openvino").save_model(self.model, path, compress_to_fp16=half)

    @property
    def metadata(self) -> dict[str, str]:
        if not self.model.has_rt_info([OURS]):
            return {}
        return {
            name: value.astype(str)
            for name, value in self.model.get_rt_info([OURS]).astype(dict).items()
        }

    def outputs(self) -> list[str]:
        return [output.get_any_name() for output in self.model.outputs]

    def raw(self) -> list[str]:
        tensors = self._tensors()
        return [name for name in RAW if name in tensors]

    def runner(self, precision: Precision, names: Sequence[str]) -> Run:
        """Compiled for each batch size when first used."""
        part, options = self.only(names).model, _options(precision)
        compiled: dict[torch.Size, Any] = {}

        def run(batch: Tensor) -> list[Tensor]:
            if batch.shape not in compiled:
                part.reshape(list(batch.shape))
                compiled[batch.shape] = _core().compile_model(part, "CPU", options)
            return _run(compiled[batch.shape], batch)

        return run

    def _tensors(self) -> dict[str, Any]:
        outputs = (output for step in self.model.get_ops() for output in step.outputs())
        return {name: output for output in outputs for name in output.names}


def _run(compiled: Any, batch: Tensor) -> list[Tensor]:
    outputs = compiled(np.ascontiguousarray(batch), share_inputs=True)
    return [torch.from_numpy(output) for output in outputs.values()]


def _holds_int8(step: Any) -> bool:
    """Whether what makes the weights of a layer quantises them, or holds them in int8."""
    name = step.get_type_name()
    if name == "Constant":
        return step.get_element_type().size == 1
    return name == "FakeQuantize" or any(_holds_int8(i.get_node()) for i in step.input_values())


@register_runtime
class OpenVino(ExportedRuntime):
    """OpenVINO on the CPU."""

    name = "openvino"
    precisions = RUNTIMES[name]
    packages = ("openvino",)
    graph = OpenVinoGraph

    def unavailable(self, precision: Precision, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"OpenVINO runs on the CPU here, not on {device.type}"
        quantiser = ["nncf"] if precision == "int8" else []
        reason = missing("onnx", "openvino", *quantiser)
        needed = CAPABILITIES.get(precision)
        if reason is None and needed and needed not in _capabilities():
            reason = f"OpenVINO cannot compute in {precision} on this processor"
        return reason


@functools.cache
def _core() -> Any:
    """OpenVINO's core, one per process.

    Each core gives its thread an alternate signal stack and restores the previous one when it ends.
    If two cores end in the order in which they began, the thread is left with a freed stack, and
    the next signal, such as that of a data loader's worker that ends, kills the process.
    """
    return library("openvino").Core()


def _capabilities() -> list[str]:
    return _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _options(precision: Precision) -> dict[str, str]:
    """Options for lowest latency; operators that are not int8 run in bfloat16 if that is native."""
    if precision == "int8":
        precision = "bfloat16" if "BF16" in _capabilities() else "float32"
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": str(torch.get_num_threads()),
        "PERFORMANCE_HINT": "LATENCY",
        # With pinning, all trials of a machine would run on its first cores.
        "ENABLE_CPU_PINNING": "NO",
    }
