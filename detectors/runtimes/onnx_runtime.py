"""ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.features import Predictions
from detectors.onnx_graph import DETECTIONS, INPUT, onnx_graph, raw_names
from detectors.runtimes.deployed import Form, Network, RuntimeUnavailable
from detectors.runtimes.libraries import library, missing
from searchspace.runtimes import Precision

PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
QUANTISED_OPS = ("Conv", "ConvTranspose", "Relu", "Clip", "MaxPool", "Add", "Concat")


def unavailable(form: Form, device: torch.device) -> str | None:
    """Why a form cannot run here."""
    if device.type != "cpu":
        return f"ONNX Runtime runs on the CPU here, not on {device.type}"
    return missing("onnx", "onnxruntime")


def build(
    detector: Detector, form: Form, device: torch.device, calibration: Tensor | None
) -> Network:
    """The network of a detector in one of ONNX Runtime's forms."""
    graph = OnnxGraph.of(detector)
    if form.precision == "int8":
        graph = graph.quantised(calibration)
    return graph.network()


class OnnxGraph:
    """A detector as an ONNX model that has both detections and raw predictions as outputs."""

    suffix = ".onnx"

    def __init__(self, model: Any) -> None:
        self.model = model

    @classmethod
    def of(cls, detector: Detector) -> OnnxGraph:
        return cls(library("onnx").load_from_string(onnx_graph(detector)))

    def quantised(self, images: Tensor) -> OnnxGraph:
        """The same in int8, its ranges taken from images [M, 3, S, S] in 0..1.

        Convolutions of the network and what lies between them are quantised; box decoding and NMS
        stay as they are.
        """
        onnx, tools = library("onnx"), library("onnxruntime.quantization")
        nodes = [
            node.name
            for node in self.model.graph.node
            if node.op_type in QUANTISED_OPS
            and node.name.startswith(("/backbone/", "/neck/", "/head/"))
        ]
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            onnx.save(self.model, before)
            tools.quantize_static(
                before,
                after,
                _Reader(images),
                op_types_to_quantize=list(QUANTISED_OPS),
                nodes_to_quantize=nodes,
                per_channel=True,
                activation_type=tools.QuantType.QUInt8,
                # Sums of products of full eight bits overflow where there is no VNNI.
                reduce_range=not torch.cpu._is_vnni_supported(),
            )
            return OnnxGraph(onnx.load(after))

    def save(self, path: Path) -> None:
        """Write the model from images to detections."""
        library("onnx").save(self.part(DETECTIONS), path)

    def network(self) -> Network:
        """The part up to the raw predictions."""
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        model = self.part(raw_names()).SerializeToString()
        try:
            session = runtime.InferenceSession(model, options, ["CPUExecutionProvider"])
        except runtime.capi.onnxruntime_pybind11_state.Fail as error:
            raise RuntimeUnavailable(f"ONNX Runtime refuses this detector: {error}") from None

        def run(batch: Tensor) -> Predictions:
            outputs = session.run(None, {INPUT: np.ascontiguousarray(batch)})
            return Predictions(*(torch.from_numpy(output) for output in outputs))

        return run

    def part(self, outputs: Sequence[str]) -> Any:
        """The model with these outputs only, and what they need."""
        extractor = library("onnx").utils.Extractor(self.model)
        return extractor.extract_model([INPUT], list(outputs))


class _Reader:
    """Calibration images one by one, as ONNX Runtime's quantisation asks for them."""

    def __init__(self, images: Tensor) -> None:
        self._images: Iterator[Tensor] = iter(images.cpu())

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image[None].numpy()}
