"""The objects of a batch, and those among them that priors were matched to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

MOST_PAIRS = 2**23
"""Pairs of objects and priors that are held at once: 32 MiB for each number of a pair."""


@dataclass(frozen=True)
class Objects:
    """The objects of a batch, padded to the largest number G an image has.

    Attributes:
        boxes: [N, G, 4], xyxy in fractions of the input, or in its pixels after `scaled`.
        labels: [N, G], 1..num_classes, 0 for padding.
        small: [N, G], small in the sense of `SmallObjects.by`.
        valid: [N, G], False for padding.
    """

    boxes: Tensor
    labels: Tensor
    small: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> Objects:
        return Objects(*(getattr(self, f.name).to(device) for f in fields(self)))

    def scaled(self, width: int, height: int) -> Objects:
        """The same with boxes in pixels, from fractions of an input of these sides."""
        sides = self.boxes.new_tensor((width, height, width, height))
        return replace(self, boxes=self.boxes * sides)

    def of_images(self, images: slice) -> Objects:
        """The objects of some images of the batch."""
        return Objects(*(getattr(self, f.name)[images] for f in fields(self)))


@dataclass(frozen=True)
class Matched:
    """The M priors of a batch that have an object, by image and prior, and their objects.

    Attributes:
        positive: [N, P], True for these priors; indexing [N, P, ...] with it gives [M, ...].
        priors: [M], which of the P it is.
        boxes: [M, 4].
        labels: [M], 1..num_classes.
        small: [M].
    """

    positive: Tensor
    priors: Tensor
    boxes: Tensor
    labels: Tensor
    small: Tensor

    @property
    def count(self) -> Tensor:
        """M, at least 1: what sums over positives are divided by."""
        return self.positive.sum().clamp(min=1)


def matched(objects: Objects, matches: Tensor) -> Matched:
    """Look up what each prior is to learn.

    Args:
        matches: [N, P], object of each prior or -1.
    """
    positive = matches >= 0
    images, priors = positive.nonzero(as_tuple=True)
    where = (images, matches[positive])
    rows = objects.boxes[where], objects.labels[where], objects.small[where]
    return Matched(positive, priors, *rows)


def match_in_chunks(match: Callable[[slice], Tensor], images: int, pairs: int) -> Tensor:
    """Match as many images at a time as `MOST_PAIRS` allows.

    Args:
        match: from images of the batch to their matches [n, P].
        pairs: objects times priors of one image.
    """
    step = max(1, MOST_PAIRS // pairs)
    return torch.cat([match(slice(first, first + step)) for first in range(0, images, step)])
