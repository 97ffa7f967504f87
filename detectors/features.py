"""What flows between the parts of a detector."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


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


@dataclass(frozen=True)
class Outputs:
    """One pass of a detector over a batch, as losses and teachers read it.

    Attributes:
        maps: what the head read, finest first, each [N, C, H, W].
        predictions: what the head made of them.
    """

    maps: list[Tensor]
    predictions: Predictions
