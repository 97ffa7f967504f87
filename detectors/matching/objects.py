"""The objects of a batch, and those that priors were matched to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

MOST_PAIRS = 2**23
"""Pairs of objects and priors processed at once: 32 MiB for each value per pair."""

ALL = slice(None)


@dataclass(frozen=True)
class Objects:
    """The objects of a batch, padded to the largest number G an image has.

    Attributes:
        boxes: [N, G, 4], xyxy in fractions of the input, or in its pixels after `scaled`.
        labels: [N, G], 1..num_classes, 0 for padding.
        small: [N, G], True for objects that are small by `SmallObjects.by`.
        valid: [N, G], False for padding.
        counts: [N], how many of an image's rows precede its padding, where that is known without
            reading it from the device: matching then skips the padding of images with few objects.
    """

    boxes: Tensor
    labels: Tensor
    small: Tensor
    valid: Tensor
    counts: tuple[int, ...] = ()

    def to(self, device: torch.device) -> Objects:
        tensors = (self.boxes, self.labels, self.small, self.valid)
        return Objects(*(tensor.to(device) for tensor in tensors), self.counts)

    def scaled(self, width: int, height: int) -> Objects:
        """The objects with boxes in pixels, from fractions of an input of this size."""
        sides = self.boxes.new_tensor((width, height, width, height))
        return replace(self, boxes=self.boxes * sides)

    def at(self, images: slice, objects: slice = ALL) -> Objects:
        """Some images of the batch, and some of the objects of each."""
        tensors = (self.boxes, self.labels, self.small, self.valid)
        return Objects(*(tensor[images, objects] for tensor in tensors))

    def some_images(self, priors: int) -> Iterator[tuple[slice, Objects]]:
        """The images of the batch, as many at a time as `MOST_PAIRS` allows, with their objects.

        Args:
            priors: P, with which each object is compared.
        """
        images, most = self.valid.shape
        first = 0
        while first < images:
            # The largest number of objects may grow with each further image.
            last = first + 1
            count = max(1, self.counts[first]) if self.counts else most
            while last < images:
                wider = max(count, self.counts[last]) if self.counts else most
                if wider * priors * (last + 1 - first) > MOST_PAIRS:
                    break
                last, count = last + 1, wider
            yield slice(first, last), self.at(slice(first, last), slice(count))
            first = last

    def some_objects(self, priors: int) -> Iterator[tuple[int, Objects]]:
        """The objects of all images, as many at a time as `MOST_PAIRS` allows, with the number of
        the first: those of an image with thousands are matched in parts."""
        images, most = self.valid.shape
        step = max(1, MOST_PAIRS // (images * priors))
        for first in range(0, most, step):
            yield first, self.at(ALL, slice(first, first + step))


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
