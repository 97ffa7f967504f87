"""ONNX Runtime on the CPU."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
from detectors.runtimes.control import OUTSIDE_NETWORK, quantised_with_control
from detectors.runtimes.deployed import RuntimeUnavailable
from detectors.runtimes.libraries import library, missing
from detectors.runtimes.onnx_graph import DETECTIONS, INPUT, RAW, onnx_graph
from searchspace.geometry import Size
from searchspace.runtimes import RUNTIMES, Precision

QUANTISED_OPS = ("Conv", "ConvTranspose", "Relu", "Clip", "MaxPool", "Add", "Concat")
SCOPE = {
    "patterns": [OUTSIDE_NETWORK],
    "types": ["Pow", "ReduceL2", "ReduceSum", "Sqrt", "Div", "Mul"],
}
"""What NNCF leaves in float: all but the network, and its L2 norms."""

WEIGHTED = ("Conv", "ConvTranspose")
NETWORK = ("/backbone/", "/neck/", "/head/")
"""Prefixes of the names of the network's operators."""


class OnnxGraph(ExportedGraph):
    """A detector as an ONNX model that computes both detections and raw predictions."""

    suffix = ".onnx"

    @classmethod
    def of(
        cls,
        detector: Detector,
        outputs: Sequence[str] = DETECTIONS,
        image_size: Size | None = None,
    ) -> OnnxGraph:
        return cls(library("onnx").load_from_string(onnx_graph(detector, outputs, image_size)))

    @classmethod
    def load(cls, path: Path) -> OnnxGraph:
        return cls(library("onnx").load(path))

    def quantised(self, images: Tensor) -> OnnxGraph:
        """The same in int8, calibrated on images [M, 3, H, W] in 0..1.

        The network is quantised except for its L2 norms; box decoding and NMS stay as they are.
        """
        onnx, tools = library("onnx"), library("onnxruntime.quantization")
        steps = [
            node.name
            for node in self.model.graph.node
            if node.op_type in QUANTISED_OPS and node.name.startswith(NETWORK)
        ]
        with tempfile.TemporaryDirectory() as folder, _quiet_log():
            before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            onnx.save(self.model, before)
            tools.quantize_static(
                before,
                after,
                _Reader(images),
                op_types_to_quantize=list(QUANTISED_OPS),
                nodes_to_quantize=steps,
                per_channel=True,
                activation_type=tools.QuantType.QUInt8,
                # Without VNNI, sums of products of full eight bits overflow.
                reduce_range=not torch.cpu._is_vnni_supported(),
            )
            return OnnxGraph(onnx.load(after))

    def controlled(self, images: Tensor, figure: Figure, max_drop: float) -> OnnxGraph:
        latest: list[tuple[Any, Run]] = []

        def runs(model: Any) -> Run:
            """NNCF passes the same model once for each image."""
            if not latest or latest[0][0] is not model:
                graph = OnnxGraph(model)
                latest[:] = [(model, graph.runner("float32", graph.outputs()))]
            return latest[0][1]

        model = _with_initialisers(self.model)
        return OnnxGraph(quantised_with_control(model, images, runs, figure, max_drop, SCOPE))

    def in_float(self) -> tuple[str, ...]:
        made_by = {name: node.op_type for node in self.model.graph.node for name in node.output}
        return tuple(
            node.name
            for node in self.model.graph.node
            if node.op_type in WEIGHTED and node.name.startswith(NETWORK)
            if made_by.get(node.input[1]) != "DequantizeLinear"
        )

    def only(self, outputs: Sequence[str], batch: int | None = None) -> OnnxGraph:
        model = self.part(outputs)
        if batch is not None:
            for value in (*model.graph.input, *model.graph.output):
                value.type.tensor_type.shape.dim[0].dim_value = batch
            del model.graph.value_info[:]  # They hold the batch as a symbol.
        return OnnxGraph(model)

    def save(
        self, path: Path, half: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        if half:
            raise ValueError("an ONNX file stores float32 here; leave half out")
        onnx = library("onnx")
        onnx.helper.set_model_props(self.model, dict(metadata or {}))
        onnx.save(self.model, path)

    @property
    def metadata(self) -> dict[str, str]:
        return {entry.key: entry.value for entry in self.model.metadata_props}

    def runner(self, precision: Precision, names: Sequence[str]) -> Run:
        """In the model's own precision."""
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        model = self.part(names).SerializeToString()
        try:
            session = runtime.InferenceSession(model, options, ["CPUExecutionProvider"])
        except RuntimeError as error:
            raise RuntimeUnavailable(f"ONNX Runtime cannot run this detector: {error}") from None

        return lambda batch: _run(session, names, batch)

    def outputs(self) -> list[str]:
        return [output.name for output in self.model.graph.output]

    def raw(self) -> list[str]:
        tensors = {name for node in self.model.graph.node for name in node.output}
        return [name for name in RAW if name in tensors]

    def part(self, names: Sequence[str]) -> Any:
        """The model reduced to these outputs; shapes of the other tensors are kept."""
        model = self.model.__class__()
        model.CopyFrom(self.model)
        model.graph.value_info.extend(model.graph.output)
        return library("onnx").utils.Extractor(model).extract_model([INPUT], list(names))


@register_runtime
class OnnxRuntime(ExportedRuntime):
    """ONNX Runtime on the CPU."""

    name = "onnxruntime"
    precisions = RUNTIMES[name]
    packages = ("onnxruntime",)
    graph = OnnxGraph

    def unavailable(self, precision: Precision, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"ONNX Runtime runs on the CPU here, not on {device.type}"
        return missing("onnx", "onnxruntime")


def _with_initialisers(model: Any) -> Any:
    """The same model with its constants among the weights, where NNCF looks for them."""
    copied = model.__class__()
    copied.CopyFrom(model)
    graph = copied.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    return copied


def _run(session: Any, names: Sequence[str], batch: Tensor) -> list[Tensor]:
    outputs = session.run(list(names), {INPUT: np.ascontiguousarray(batch)})
    return [torch.from_numpy(output) for output in outputs]


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """Suppress the advice to optimise a graph first, which would remove its names."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _Reader:
    """Calibration images one by one, for ONNX Runtime's quantisation."""

    def __init__(self, images: Tensor) -> None:
        self._images: Iterator[Tensor] = iter(images.cpu())

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image[None].numpy()}
