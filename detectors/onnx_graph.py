"""A detector as an ONNX graph: normalisation, network, decoding and NMS, from images to boxes."""

from __future__ import annotations

import io
import warnings
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from detectors.detector import Detector
from detectors.features import Predictions
from detectors.fold import folded
from detectors.postprocess import Survivors, class_nms, postprocess

INPUT = "images"
DETECTIONS = ("boxes", "scores", "labels")
"""Outputs of an exported detector in their order; see `detectors.postprocess.Detections`."""

OPSET = 18
ANY_NUMBER = 2**31 - 1


class Inference(nn.Module):
    """A detector from images to plain tensors: its detections, and then its raw predictions.

    Args:
        detector: batch norms had better be folded, see `detectors.fold`.
        raw: whether the raw predictions follow.
    """

    def __init__(
        self, detector: Detector, survivors: Survivors = class_nms, raw: bool = False
    ) -> None:
        super().__init__()
        self.detector = detector
        self.survivors = survivors
        self.raw = raw

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        detector = self.detector
        predictions = detector.predict(images)
        boxes = detector.head.boxes_of(predictions)
        scores = detector.head.scores_of(predictions)
        found = postprocess(boxes, scores, detector.config.head.postprocess, self.survivors)
        raw = tensors_of(predictions) if self.raw else ()
        return (found.boxes, found.scores, found.labels, *raw)


def tensors_of(predictions: Predictions) -> tuple[Tensor, ...]:
    """The tensors of predictions, in the order of `raw_names`."""
    return tuple(getattr(predictions, field.name) for field in fields(predictions))


def raw_names() -> tuple[str, ...]:
    """What the raw predictions are called among a graph's outputs."""
    return tuple(f"raw_{field.name}" for field in fields(Predictions))


def example(detector: Detector, images: int = 2) -> Tensor:
    """A batch as a detector takes it."""
    side = detector.config.input_size
    return torch.zeros(images, 3, side, side)


def onnx_graph(detector: Detector) -> bytes:
    """A detector in ONNX's format, with any size of batch.

    Input: `images` [N, 3, S, S] in 0..1. Outputs: `DETECTIONS`, then `raw_names`.
    """
    copied = folded(detector).cpu()
    outputs = [*DETECTIONS, *raw_names()]
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The exporter built on torch.export takes ten times as long; a trial waits for this one.
        torch.onnx.export(
            Inference(copied, _onnx_nms, raw=True).eval(),
            (example(copied),),
            buffer,
            input_names=[INPUT],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def _onnx_nms(boxes: Tensor, scores: Tensor, labels: Tensor, classes: int, iou: float) -> Tensor:
    # While a graph is traced, sizes are tensors.
    return _OnnxNms.apply(boxes, scores, labels, int(classes), iou)


class _OnnxNms(torch.autograd.Function):
    """`class_nms` that becomes ONNX's NonMaxSuppression, which knows images and classes itself."""

    @staticmethod
    def forward(
        ctx: Any, boxes: Tensor, scores: Tensor, labels: Tensor, classes: int, iou: float
    ) -> Tensor:
        return class_nms(boxes, scores, labels, classes, iou)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, labels: Any, classes: int, iou: float) -> Any:
        """The mask [N, M] from the operator's rows of (image, class, box)."""

        def constant(*values: float) -> Any:
            return g.op("Constant", value_t=torch.tensor(values))

        own = g.op(
            "Equal",
            g.op("Unsqueeze", labels, constant(1)),
            g.op("Constant", value_t=torch.arange(classes)[None, :, None]),
        )
        by_class = g.op("Where", own, g.op("Unsqueeze", scores, constant(1)), constant(0.0))
        rows = g.op(
            "NonMaxSuppression",
            boxes,
            by_class,
            constant(ANY_NUMBER),
            constant(iou),
            constant(0.0),
        )
        places = g.op("Gather", rows, constant(0, 2), axis_i=1)
        count = g.op("Slice", g.op("Shape", rows), constant(0), constant(1))
        ones = g.op("ConstantOfShape", count, value_t=torch.ones(1))
        zeros = g.op("ConstantOfShape", g.op("Shape", scores), value_t=torch.zeros(1))
        return g.op("Greater", g.op("ScatterND", zeros, places, ones), constant(0.0))
