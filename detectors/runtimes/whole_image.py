"""Tiles inside an exported graph: from an image of one size to its merged detections.

All of it is of operators that every runtime has: an image is cut by constant slices, a tile is
resized by sums of rows and of columns, and the merging takes one detection after the other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.canvas import GREY, in_image
from detectors.detector import Detector
from detectors.postprocess import Detections, Survivors
from detectors.tiling import detect_images
from searchspace.errors import InputError
from searchspace.geometry import Canvas, Size, Window
from searchspace.tiles import Merge


def check_cut_inside(canvas: Canvas) -> None:
    """Raise `InputError` if the tiles of a detector cannot be part of a graph."""
    if canvas.tiles is None:
        raise InputError(
            "the detector does not cut images into tiles, so its file takes images of one size "
            "anyway: leave the size of images out"
        )
    if canvas.tiles.threshold is not None:
        raise InputError(
            "a first look decides which tiles are looked at, and a graph looks at all: leave the "
            "size of images out, and the script beside the file cuts images, or set "
            "detector.tiles.*.first_look.kind to none"
        )


@dataclass(frozen=True)
class WholeImages:
    """A detector with tiles as one whose inputs are whole images, to compare a graph with.

    Attributes:
        size: height and width of the images; those of another size are stretched to it.
    """

    detector: Detector
    size: Size

    @property
    def classes(self) -> tuple[str, ...]:
        return self.detector.classes

    @property
    def num_classes(self) -> int:
        return self.detector.config.num_classes

    @property
    def canvas(self) -> Canvas:
        return Canvas(self.size)

    def detect(self, batch: Tensor) -> Detections:
        """Detections for images [N, 3, H, W] in 0..1 of this size."""
        found = detect_images(self.detector.detect, [*batch], self.detector.canvas)
        height, width = self.size
        sides = torch.tensor((width, height) * 2, device=batch.device)
        most = max(len(one["scores"]) for one in found)

        def padded(rows: Tensor) -> Tensor:
            return functional.pad(rows, [0, 0] * (rows.ndim - 1) + [0, most - len(rows)])

        boxes, scores, labels = (
            torch.stack([padded(one[name]) for one in found])
            for name in ("boxes", "scores", "labels")
        )
        return Detections(boxes / sides, scores, labels)


class WholeImage(nn.Module):
    """A detector with tiles from an image to tensors, as `onnx_graph.Inference` is one from inputs:
    `images` [1, 3, H, W] in 0..1 to `boxes` [1, D, 4] in fractions of the image, `scores` and
    `labels` [1, D].

    Args:
        detector: preferably with folded batch norms.
        size: height and width of the image.
        survivors: see `detectors.postprocess.postprocess`.

    Raises:
        InputError: see `check_cut_inside`.
    """

    def __init__(self, detector: Detector, size: Size, survivors: Survivors | None = None) -> None:
        super().__init__()
        check_cut_inside(detector.canvas)
        self.detector, self.size, self.survivors = detector, size, survivors
        self.windows = detector.canvas.windows(size)
        self.placing = nn.ModuleList(
            Placing(window_size, detector.canvas) for window_size, _ in self._by_size()
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        groups = zip(self.placing, self._by_size(), strict=True)
        inputs = [
            place(torch.cat([images[:, :, *window.slices] for window in windows]))
            for place, (_, windows) in groups
        ]
        predictions = self.detector.predict(torch.cat(inputs))
        found = self.detector.head.detections(predictions, self.survivors)
        boxes, scores, labels = self._merged(found)
        height, width = self.size
        return (boxes / torch.tensor((width, height) * 2))[None], scores[None], labels[None]

    def _by_size(self) -> list[tuple[Size, list[Window]]]:
        """The windows by their size: the tiles, and the whole image, if it is looked at, too."""
        groups = itertools.groupby(self.windows, key=lambda window: window.size)
        return [(size, list(windows)) for size, windows in groups]

    def _merged(self, found: Detections) -> tuple[Tensor, Tensor, Tensor]:
        """What `detectors.tiling.of_windows` makes of the detections, padded with zeros."""
        canvas = self.detector.canvas
        boxes, there = in_image(found.boxes, self.windows, canvas)
        scores = torch.where((found.labels > 0) & there, found.scores, 0).flatten()
        boxes, labels = boxes.flatten(0, 1), found.labels.flatten()
        most = int(found.scores.shape[1])
        if canvas.tiles is None or len(self.windows) == 1:
            scores, order = scores.topk(most)
        else:
            scores, order = best(boxes, scores, labels, canvas.tiles.merge, most)
        there = scores > 0
        boxes = torch.where(there[:, None], boxes[order], 0)
        return boxes, scores, torch.where(there, labels[order], 0)


def best(
    boxes: Tensor, scores: Tensor, labels: Tensor, merge: Merge, most: int
) -> tuple[Tensor, Tensor]:
    """The first of the boxes that `detectors.tiling.survivors` keeps, taken one by one.

    Args:
        boxes: [M, 4], xyxy.
        scores: [M]; 0 for those that do not count.
        labels: [M].
        most: how many.

    Returns:
        Their scores, 0 where there are no more, and their numbers, [most] each.
    """
    low, high = boxes.T[:2], boxes.T[2:]
    areas, numbers = (high - low).prod(0), torch.arange(len(scores))
    chosen: list[tuple[Tensor, Tensor]] = []
    for _ in range(most):
        score, number = scores.max(0, keepdim=True)
        chosen.append((score, number))
        own = areas[number]
        starts, ends = torch.maximum(low, low[:, number]), torch.minimum(high, high[:, number])
        common = (ends - starts).clamp(min=0).prod(0)
        whole = torch.minimum(areas, own) if merge.by == "ios" else areas + own - common
        gone = common > merge.threshold * whole
        if merge.per_class:
            gone = gone & (labels == labels[number])
        scores = torch.where(gone | (numbers == number), 0, scores)
    kept, order = zip(*chosen, strict=True)
    return torch.cat(kept), torch.cat(order)


class Placing(nn.Module):
    """`detectors.canvas.place` for images of one size, [N, 3, H, W] in 0..1.

    Args:
        size: height and width of the images.
    """

    def __init__(self, size: Size, canvas: Canvas) -> None:
        super().__init__()
        self.canvas, self.content = canvas, canvas.content(size)
        self.axes = tuple(
            None if old == new else _taps(old, new)
            for old, new in zip(size, self.content, strict=True)
        )

    def forward(self, images: Tensor) -> Tensor:
        for axis, taps in zip((2, 3), self.axes, strict=True):
            if taps is not None:
                places, weights = taps
                shape = (-1, 1) if axis == 2 else (-1,)
                parts = (
                    images.index_select(axis, at) * weight.view(shape)
                    for at, weight in zip(places, weights, strict=True)
                )
                images = sum(parts, start=next(parts))
        below, right = (
            own - part for own, part in zip(self.canvas.size, self.content, strict=True)
        )
        if below or right:
            images = functional.pad(images, [0, right, 0, below], value=GREY / 255)
        return images


def _taps(old: int, new: int) -> tuple[Tensor, Tensor]:
    """The numbers of the pixels that each pixel of a resized side is a sum of, and their weights:
    [K, new] each, as `interpolate` takes them."""
    matrix = functional.interpolate(
        torch.eye(old)[None, None], (new, old), mode="bilinear", antialias=True
    )[0, 0]
    most = int((matrix > 0).sum(1).max())
    first = (matrix > 0).int().argmax(1).clamp(max=old - most)
    places = first + torch.arange(most)[:, None]
    return places, matrix.T.gather(0, places)
