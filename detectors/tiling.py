"""Images as inputs of the network, whole or in tiles, and what is found on these as detections of
the images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from detectors.canvas import in_image, place
from detectors.features import size_of
from detectors.postprocess import Detections
from searchspace.geometry import Canvas, Size, Window
from searchspace.tiles import Merge

BATCH = 16
"""Inputs in a call of the network; images with more tiles take several calls."""

BLOCK = 256
"""Detections that are merged at once with all that are better: it bounds the memory."""


class Look(NamedTuple):
    """An input of the network.

    Attributes:
        image: number of the image.
        window: the part of it.
    """

    image: int
    window: Window


def looks_at(sizes: Iterable[Size], canvas: Canvas) -> list[Look]:
    """The inputs for images of these sizes, image by image."""
    return [
        Look(number, window) for number, size in enumerate(sizes) for window in canvas.windows(size)
    ]


def seen(image: Tensor, window: Window, canvas: Canvas) -> Tensor:
    """A window of an image [3, H, W], uint8 or float in 0..1, on the canvas."""
    left, top, width, height = window
    return place(image[:, top : top + height, left : left + width], canvas)


def detect_images(
    detect: Callable[[Tensor], Detections], images: Sequence[Tensor], canvas: Canvas
) -> list[dict[str, Tensor]]:
    """What is found on images, in the form of `Detections.of_image`.

    Args:
        detect: finds objects on a batch of inputs.
        images: [3, H, W], uint8 or float in 0..1, of any sizes.
    """
    sizes = [size_of(image) for image in images]
    looks = looks_at(sizes, canvas)
    batches = (looks[start : start + BATCH] for start in range(0, len(looks), BATCH))
    found = (
        (batch, detect(torch.stack([seen(images[k], window, canvas) for k, window in batch])))
        for batch in batches
    )
    return list(by_image(found, sizes, canvas))


def by_image(
    found: Iterable[tuple[Sequence[Look], Detections]], sizes: Sequence[Size], canvas: Canvas
) -> Iterator[dict[str, Tensor]]:
    """The detections of each image, in order, as soon as all its inputs were looked at.

    Args:
        found: the looks of `looks_at` in batches, with the detections on these; further rows are
            padding.
        sizes: of the images.
    """
    parts: list[Detections] = []
    windows: list[Window] = []
    for looks, detections in found:
        first = 0
        for number, group in itertools.groupby(looks, key=lambda look: look.image):
            own = [look.window for look in group]
            parts.append(detections.rows(first, first + len(own)))
            windows += own
            first += len(own)
            if len(windows) == len(canvas.windows(sizes[number])):
                yield of_windows(Detections.joined(parts), windows, canvas)
                parts, windows = [], []


def of_windows(found: Detections, windows: Sequence[Window], canvas: Canvas) -> dict[str, Tensor]:
    """The detections of an image from those of its windows, on the same device.

    An image keeps at most as many detections as an input does.

    Returns:
        `boxes` [M, 4] in pixels of the image, `labels` [M] and `scores` [M], best first.
    """
    if canvas.tiles is None or len(windows) == 1:
        [window] = windows
        return found.of_image(0, window.width, window.height, canvas)
    boxes, there = in_image(found.boxes, windows, canvas)
    real = (found.labels > 0) & there
    boxes, scores, labels = boxes[real], found.scores[real], found.labels[real]
    order = scores.argsort(descending=True, stable=True)
    order = order[survivors(boxes[order], labels[order], canvas.tiles.merge)]
    order = order[: found.scores.shape[1]]
    return {"boxes": boxes[order], "labels": labels[order], "scores": scores[order]}


def survivors(boxes: Tensor, labels: Tensor, merge: Merge) -> Tensor:
    """The numbers of the boxes that no better one removes, ascending.

    Args:
        boxes: [M, 4], xyxy, best first.
        labels: [M].
    """
    boxes = boxes.double()
    kept = labels.new_zeros(0)
    for start in range(0, len(boxes), BLOCK):
        own = torch.arange(start, min(start + BLOCK, len(boxes)), device=boxes.device)
        left = ~_covered(boxes, labels, own, kept, merge).any(1)
        within = _covered(boxes, labels, own, own, merge).tril(-1)
        # Each round is right for one more box of a chain in which each would remove the next.
        now = left
        while not torch.equal(then := left & ~(within & now).any(1), now):
            now = then
        kept = torch.cat((kept, own[now]))
    return kept


def _covered(boxes: Tensor, labels: Tensor, a: Tensor, b: Tensor, merge: Merge) -> Tensor:
    """[A, B], whether boxes of the numbers `a` and `b` cover each other by too much."""
    one, other = boxes[a][:, None], boxes[b]
    corner = torch.maximum(one[..., :2], other[:, :2])
    common = (torch.minimum(one[..., 2:], other[:, 2:]) - corner).clamp(min=0).prod(-1)
    areas = [(some[..., 2:] - some[..., :2]).prod(-1) for some in (one, other)]
    smaller = torch.minimum(*areas)
    whole = smaller if merge.by == "ios" else areas[0] + areas[1] - common
    covered = common > merge.threshold * whole
    return covered & (labels[a][:, None] == labels[b]) if merge.per_class else covered
