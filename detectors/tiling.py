"""Images as inputs of the network, whole or in tiles, and what is found on these as detections of
the images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from detectors.canvas import Read, in_image, place_read
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


Run = Callable[[Canvas, Sequence[Look]], Iterable[Detections]]
"""Detections on inputs, in batches, in the order of the inputs."""


def looks_at(sizes: Iterable[Size], canvas: Canvas) -> list[Look]:
    """All inputs that there can be for images of these sizes, image by image."""
    return [
        Look(number, window) for number, size in enumerate(sizes) for window in canvas.windows(size)
    ]


@dataclass(frozen=True)
class Readable:
    """An image of which windows are read, uint8 or float in 0..1.

    Attributes:
        size: its height and width.
    """

    size: Size
    read: Read

    @classmethod
    def of(cls, image: Tensor) -> Readable:
        """An image [3, H, W] in memory."""
        return cls(size_of(image), lambda window: image[:, *window.slices])


def detect_images(
    detect: Callable[[Tensor], Detections], images: Sequence[Tensor | Readable], canvas: Canvas
) -> list[dict[str, Tensor]]:
    """What is found on images, in the form of `Detections.of_image`.

    Args:
        detect: finds objects on a batch of inputs.
        images: [3, H, W], uint8 or float in 0..1, of any sizes, or what reads them.
    """
    readable = [Readable.of(image) if isinstance(image, Tensor) else image for image in images]

    def run(canvas: Canvas, looks: Sequence[Look]) -> Iterator[Detections]:
        for start in range(0, len(looks), BATCH):
            batch = looks[start : start + BATCH]
            seen = [place_read(readable[k].read, window, canvas) for k, window in batch]
            yield detect(torch.stack(seen))

    return list(planned(run, [image.size for image in readable], canvas).found(run))


@dataclass(frozen=True)
class Plan:
    """What is looked at of images, after the first look, if there is one.

    Attributes:
        windows: of each image, the inputs; none where the first look has found nothing.
        firsts: by number of an image, what the first look has found; the only look at an image that
            is a single tile is not a first one.
    """

    canvas: Canvas
    windows: Sequence[Sequence[Window]]
    firsts: Mapping[int, dict[str, Tensor]]

    @property
    def inputs(self) -> float:
        """The mean number of inputs of an image, first looks included."""
        return (sum(map(len, self.windows)) + len(self.firsts)) / len(self.windows)

    def found(self, run: Run) -> Iterator[dict[str, Tensor]]:
        """The detections of each image, in order, as soon as all its inputs were looked at."""
        looks = [Look(k, window) for k, own in enumerate(self.windows) for window in own]
        rows = one_by_one(run(self.canvas, looks))
        for number, windows in enumerate(self.windows):
            own = list(itertools.islice(rows, len(windows)))
            yield of_windows(own, windows, self.canvas, self.firsts.get(number))


def planned(run: Run, sizes: Sequence[Size], canvas: Canvas) -> Plan:
    """What is to be looked at of images of these sizes; the first look is taken here."""
    tiles = canvas.tiles
    windows = [canvas.windows(size) for size in sizes]
    if tiles is None or tiles.threshold is None:
        return Plan(canvas, windows, {})
    alone = replace(canvas, tiles=None)
    wholes = [Look(k, own[-1]) for k, own in enumerate(windows) if len(own) > 1]
    firsts = {
        look.image: row.of_image(0, look.window.width, look.window.height, alone)
        for look, row in zip(wholes, one_by_one(run(alone, wholes)), strict=True)
    }
    for number, first in firsts.items():
        windows[number] = worth_a_look(first, windows[number][:-1], tiles.threshold)
    return Plan(canvas, windows, firsts)


def worth_a_look(
    first: dict[str, Tensor], tiles: Sequence[Window], threshold: float
) -> tuple[Window, ...]:
    """The tiles that have the centre of a detection of the first look.

    Args:
        threshold: the least score of such a detection.
    """
    boxes = first["boxes"][first["scores"] >= threshold]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    corners = [(t.left, t.top, t.left + t.width, t.top + t.height) for t in tiles]
    ends = torch.tensor(corners, device=boxes.device)[:, None]
    within = ((centres >= ends[..., :2]) & (centres <= ends[..., 2:])).all(-1).any(1)
    return tuple(itertools.compress(tiles, within.tolist()))


def one_by_one(batches: Iterable[Detections]) -> Iterator[Detections]:
    """The detections on each input of some batches."""
    return (batch.rows(k, k + 1) for batch in batches for k in range(len(batch.scores)))


def of_windows(
    found: Sequence[Detections],
    windows: Sequence[Window],
    canvas: Canvas,
    first: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The detections of an image from those of its windows, on the same device.

    An image keeps at most as many detections as an input does.

    Args:
        found: the detections on each window.
        first: those of the first look at the image, if there was one.

    Returns:
        `boxes` [M, 4] in pixels of the image, `labels` [M] and `scores` [M], best first.
    """
    if canvas.tiles is None or (first is None and len(windows) == 1):
        [window], [row] = windows, found
        return row.of_image(0, window.width, window.height, canvas)
    parts, most = [], 0
    if first is not None:
        most = len(first["scores"]) if canvas.tiles.whole else 0
        parts.append({name: values[:most] for name, values in first.items()})
    if windows:
        rows = Detections.joined(found)
        boxes, there = in_image(rows.boxes, windows, canvas)
        real, most = (rows.labels > 0) & there, rows.scores.shape[1]
        labels, scores = rows.labels[real], rows.scores[real]
        parts.append({"boxes": boxes[real], "labels": labels, "scores": scores})
    together = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    order = together["scores"].argsort(descending=True, stable=True)
    boxes, labels = together["boxes"][order], together["labels"][order]
    order = order[survivors(boxes, labels, canvas.tiles.merge)][:most]
    return {name: values[order] for name, values in together.items()}


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
