"""The objects of a batch, and those that priors were matched to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

MOST_PAIRS = 2**23
"""Pairs of objects and priors processed at once: 32 MiB for each value per pair."""


@dataclass(frozen=True)
class Objects:
    """The objects of a batch, padded to the largest number G an image has.

    Attributes:
        boxes: [N, G, 4], xyxy in fractions of the input, or in its pixels after `scaled`.
        labels: [N, G], 1..num_classes, 0 for padding.
        small: [N, G], True for objects that are small by `SmallObjects.by`.
        valid: [N, G], False for padding.
    """

    boxes: Tensor
    labels: Tensor
    small: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> Objects:
        return Objects(*(getattr(self, f.name).to(device) for f in fields(self)))

    def scaled(self, width: int, height: int) -> Objects:
        """The objects with boxes in pixels, from fractions of an input of this size."""
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
        priors: [M], index among the P priors.
        boxes: [M, 4], boxes of the objects.
        labels: [M], 1..num_classes.
        small: [M], True if the object is small.
    """

    positive: Tensor
    priors: Tensor
    boxes: Tensor
    labels: Tensor
    small: Tensor

    @property
    def count(self) -> Tensor:
        """M, at least 1: the divisor of sums over positives."""
        return self.positive.sum().clamp(min=1)


def matched(objects: Objects, matches: Tensor) -> Matched:
    """The objects of all matched priors.

    Args:
        matches: [N, P], index of each prior's object, -1 for background.
    """
    positive = matches >= 0
    images, priors = positive.nonzero(as_tuple=True)
    where = (images, matches[positive])
    rows = objects.boxes[where], objects.labels[where], objects.small[where]
    return Matched(positive, priors, *rows)


def match_in_chunks(match: Callable[[slice], Tensor], images: int, pairs: int) -> Tensor:
    """Match as many images at a time as `MOST_PAIRS` allows; returns [N, P].

    Args:
        match: maps a slice of the batch's images to their matches [n, P].
        images: N, the images of the batch.
        pairs: number of objects times number of priors of one image.
    """
    step = max(1, MOST_PAIRS // pairs)
    return torch.cat([match(slice(first, first + step)) for first in range(0, images, step)])
