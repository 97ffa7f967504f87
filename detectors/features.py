"""The tensors passed between the parts of a detector."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional

from searchspace.geometry import Size


def size_of(maps: Tensor) -> Size:
    """Height and width of maps or images, [..., H, W]."""
    height, width = maps.shape[-2:]
    return height, width


def resized(x: Tensor, size: Size, antialias: bool = False) -> Tensor:
    """Maps or images [N, C, H, W] resized bilinearly to [N, C, *size]."""
    if size_of(x) == size:
        return x
    return functional.interpolate(
        x, size, mode="bilinear", align_corners=False, antialias=antialias
    )


@dataclass(frozen=True)
class Features:
    """The tensors that `searchspace.geometry.Levels` declares.

    Attributes:
        maps: the levels that the head may read, finest first, each [N, C, H, W].
        top: the map from which further levels grow, [N, C, H, W].
        side: the taps of the second path, finest first, each [N, C, H, W].
    """

    maps: list[Tensor]
    top: Tensor
    side: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Predictions:
    """The raw output of a head over all P priors of a batch.

    Attributes:
        boxes: encoded boxes, [N, P, 4]; for a head with distributions their logits,
            [N, P, 4, bins].
        classes: logits, [N, P, num_classes]; for a multibox head [N, P, 1 + num_classes],
            background first.
        objectness: logits, [N, P], if the head has them.
    """

    boxes: Tensor
    classes: Tensor
    objectness: Tensor | None = None

    def at(self, places: Tensor) -> Predictions:
        """The predictions of some priors of each image.

        Args:
            places: [N, R], indices among the P priors.
        """
        objectness = None if self.objectness is None else _rows(self.objectness, places)
        return Predictions(_rows(self.boxes, places), _rows(self.classes, places), objectness)


def _rows(x: Tensor, places: Tensor) -> Tensor:
    """The rows [N, R, ...] of x [N, P, ...] at places [N, R]."""
    wide = places.reshape(*places.shape, *[1] * (x.dim() - 2))
    return x.gather(1, wide.expand(-1, -1, *x.shape[2:]))


@dataclass(frozen=True)
class Outputs:
    """The outputs of a detector for a batch, as used by losses and teachers.

    Attributes:
        maps: the levels that the head read, finest first, each [N, C, H, W].
        predictions: the head's predictions.
    """

    maps: list[Tensor]
    predictions: Predictions
