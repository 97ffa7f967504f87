"""A detector as an ONNX graph: normalisation, network, decoding and NMS, from images to boxes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import register_custom_op_symbolic
from torch.onnx.symbolic_helper import parse_args

from detectors.detector import Detector
from detectors.dry_run import dry_run
from detectors.features import Predictions
from detectors.postprocess import Survivors, class_nms
from detectors.runtimes.fold import folded
from detectors.runtimes.whole_image import WholeImage
from searchspace.geometry import Size

INPUT = "images"
DETECTIONS = ("boxes", "scores", "labels")
"""Outputs of an exported detector in their order; see `detectors.postprocess.Detections`."""

CANDIDATES = ("candidate_boxes", "candidate_scores")
"""Outputs of one that was exported without NMS: of every prior, its box [N, P, 4], xyxy in
fractions of the input, and its scores [N, P, K], each in 0..1, without background. Nothing is left
out, ordered or clipped."""

RAW = {f"raw_{field.name}": field.name for field in fields(Predictions)}
"""By output name, the field of the raw predictions."""

OPSET = 18
ANY_NUMBER = 2**31 - 1
CLASS_NMS = "(Tensor boxes, Tensor scores, Tensor labels, int classes, float iou) -> Tensor"


class Inference(nn.Module):
    """A detector from images to plain tensors.

    Args:
        detector: preferably with folded batch norms, see `detectors.runtimes.fold`.
        outputs: their names, of `DETECTIONS`, `CANDIDATES` and `RAW`.
        survivors: see `detectors.postprocess.postprocess`.
    """

    def __init__(
        self, detector: Detector, outputs: Sequence[str], survivors: Survivors | None = None
    ) -> None:
        super().__init__()
        self.detector = detector
        self.outputs = tuple(outputs)
        self.survivors = survivors

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        predictions, head = self.detector.predict(images), self.detector.head
        named = named_tensors(predictions)
        if not set(DETECTIONS).isdisjoint(self.outputs):
            found = head.detections(predictions, self.survivors)
            named.update({name: getattr(found, name) for name in DETECTIONS})
        if not set(CANDIDATES).isdisjoint(self.outputs):
            candidates = (head.boxes_of(predictions), head.scores_of(predictions))
            named.update(zip(CANDIDATES, candidates, strict=True))
        return tuple(named[name] for name in self.outputs)


def named_tensors(predictions: Predictions) -> dict[str, Tensor]:
    """The tensors of predictions by the output names of a graph."""
    tensors = {name: getattr(predictions, field) for name, field in RAW.items()}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def predictions_of(named: Mapping[str, Tensor]) -> Predictions:
    """The inverse of `named_tensors`."""
    return Predictions(**{RAW[name]: tensor for name, tensor in named.items()})


def example(detector: Detector, images: int = 2) -> Tensor:
    """An all-zero batch [images, 3, H, W] of the detector's input size."""
    return torch.zeros(images, 3, *detector.config.size)


def onnx_graph(
    detector: Detector, outputs: Sequence[str] = DETECTIONS, image_size: Size | None = None
) -> bytes:
    """A detector in ONNX format, for any batch size.

    Input: `images` [N, 3, H, W] in 0..1. Outputs: those named, then the raw predictions. With tiles
    inside, the input is one image [1, 3, H, W], and the outputs are its detections alone.

    Args:
        outputs: `DETECTIONS` or `CANDIDATES`.
        image_size: height and width of images that the graph itself cuts into tiles.
    """
    copied = folded(detector).cpu()
    if image_size is None:
        outputs = [*outputs, *named_tensors(dry_run(copied).predictions)]
        model, images = Inference(copied, outputs, _one_operator), example(copied)
        axes = {name: {0: "batch"} for name in (INPUT, *outputs)}
    else:
        model, images = (
            WholeImage(copied, image_size, _one_operator),
            torch.zeros(1, 3, *image_size),
        )
        axes = {}
    return _traced(model.eval(), images, outputs, axes)


def _traced(
    model: nn.Module, images: Tensor, outputs: Sequence[str], axes: Mapping[str, dict[int, str]]
) -> bytes:
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The exporter built on torch.export gives the same operators, but is some twenty times
        # slower (9 s for a small SSD on one thread, 0.4 s for this one), and every trial waits for
        # it. It also drops the layers' names, by which both quantisers recognise the network.
        torch.onnx.export(
            model,
            (images,),
            buffer,  # pyrefly: ignore[bad-argument-type] (this exporter writes into buffers, too)
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


@torch.library.custom_op("sparrow::class_nms", mutates_args=(), schema=CLASS_NMS)
def _class_nms(boxes: Tensor, scores: Tensor, labels: Tensor, classes: int, iou: float) -> Tensor:
    """`class_nms` as one opaque operator for the tracer.

    The exporter simplifies a traced body, such as that of a `torch.autograd.Function`, and fails
    when there is something to simplify: with one class, the offsets are multiplied by 1.
    """
    return class_nms(boxes, scores, labels, classes, iou)


def _one_operator(
    boxes: Tensor, scores: Tensor, labels: Tensor, classes: int | Tensor, iou: float
) -> Tensor:
    # While a graph is traced, sizes are tensors.
    return _class_nms(boxes, scores, labels, int(classes), iou)


@parse_args("v", "v", "v", "i", "f")
def _non_max_suppression(
    g: Any, boxes: Any, scores: Any, labels: Any, classes: int, iou: float
) -> Any:
    """The mask [N, M] from the rows (image, class, box) of ONNX's NonMaxSuppression."""

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


register_custom_op_symbolic("sparrow::class_nms", _non_max_suppression, OPSET)
