"""What flows between the parts of a detector."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from torch import Tensor

from searchspace.geometry import Size


def size_of(maps: Tensor) -> Size:
    """Height and width of maps or images, [..., H, W]."""
    height, width = maps.shape[-2:]
    return height, width


@dataclass(frozen=True)
class Features:
    """The tensors that `searchspace.geometry.Levels` declares.

    Attributes:
        maps: what the head may read, finest first, each [N, C, H, W].
        top: where growth continues.
        side: the taps of the second path, finest first.
    """

    maps: list[Tensor]
    top: Tensor
    side: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Predictions:
    """The raw output of a head over all P priors of a batch.

    Attributes:
        boxes: coded boxes, [N, P, 4]; of a head of distributions their logits, [N, P, 4, bins].
        classes: logits, [N, P, num_classes]; of a multibox head [N, P, 1 + num_classes], background
            first.
        objectness: logits, [N, P], where the head has them.
    """

    boxes: Tensor
    classes: Tensor
    objectness: Tensor | None = None

    def at(self, places: Tensor) -> Predictions:
        """Those of some priors of each image only.

        Args:
            places: [N, R], which of the P.
        """
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return Predictions(**{k: x if x is None else _rows(x, places) for k, x in tensors.items()})


def _rows(x: Tensor, places: Tensor) -> Tensor:
    """Of x [N, P, ...] the rows at places [N, R]."""
    wide = places.reshape(*places.shape, *[1] * (x.dim() - 2))
    return x.gather(1, wide.expand(-1, -1, *x.shape[2:]))


@dataclass(frozen=True)
class Outputs:
    """One pass of a detector over a batch, as losses and teachers read it.

    Attributes:
        maps: what the head read, finest first, each [N, C, H, W].
        predictions: what the head made of them.
    """

    maps: list[Tensor]
    predictions: Predictions
