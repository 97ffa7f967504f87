"""The objects of a batch, and those that priors were matched to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detectors.group import divisor

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
        """The same objects on another device, in one transfer, which does not wait for a GPU."""
        if self.boxes.device == device:
            return self
        facts = torch.stack((self.labels, self.small, self.valid), -1).float()
        moved = to_device(torch.cat((self.boxes, facts), -1), device)
        boxes, labels, small, valid = moved.split((4, 1, 1, 1), -1)
        return Objects(
            boxes, labels[..., 0].long(), small[..., 0] > 0, valid[..., 0] > 0, self.counts
        )

    def scaled(self, width: int, height: int) -> Objects:
        """The objects with boxes in pixels, from fractions of an input of this size."""
        pixels = self.boxes[..., 0::2] * width, self.boxes[..., 1::2] * height
        return replace(self, boxes=torch.stack(pixels, -1).flatten(-2))

    def at(self, images: slice, objects: slice = ALL) -> Objects:
        """Some images of the batch, and some of the objects of each."""
        tensors = (self.boxes, self.labels, self.small, self.valid)
        boxes, labels, small, valid = (tensor[images, objects] for tensor in tensors)
        return Objects(boxes, labels, small, valid)

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
    """The object of each of P priors in N images.

    All shapes are fixed, so that no loss has to ask the device how many positives there are. What
    stands at priors without an object is finite and means nothing: mask it with `sum`.

    Attributes:
        positive: [N, P], True for priors that have an object.
        boxes: [N, P, 4], boxes of the objects.
        labels: [N, P], 1..num_classes; 0 for priors without an object.
        small: [N, P], True if the object is small; False for priors without one.
    """

    positive: Tensor
    boxes: Tensor
    labels: Tensor
    small: Tensor

    @functools.cached_property
    def count(self) -> Tensor:
        """The number of positives, at least 1: the divisor of sums over positives."""
        return divisor(self.positive.sum())

    def sum(self, losses: Tensor) -> Tensor:
        """The sum of losses [N, P] over positives."""
        return torch.where(self.positive, losses, 0).sum()

    def one_hot(self, classes: int) -> Tensor:
        """[N, P, classes], True at the class of a prior's object."""
        return self.labels[..., None] == torch.arange(1, classes + 1, device=self.labels.device)


def matched(objects: Objects, matches: Tensor) -> Matched:
    """The objects of all priors.

    Args:
        matches: [N, P], index of each prior's object, -1 for background.
    """
    positive, index = matches >= 0, matches.clamp(min=0)
    return Matched(
        positive=positive,
        boxes=objects.boxes.gather(1, index[..., None].expand(-1, -1, 4)),
        labels=objects.labels.gather(1, index) * positive,
        small=objects.small.gather(1, index) & positive,
    )


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; a GPU copies it from pinned memory, and nobody waits for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
