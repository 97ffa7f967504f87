"""Detection losses: (predictions, priors, matches, objects) to named terms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from detectors.boxes import encode
from detectors.features import Predictions
from detectors.matching import Objects

NEGATIVES_PER_POSITIVE = 3


def multibox_loss(
    predictions: Predictions,
    priors: Tensor,
    matches: Tensor,
    objects: Objects,
    small_object_weight: float = 1.0,
) -> dict[str, Tensor]:
    """SSD's loss (section 2.2): cross-entropy with hard negatives, and smooth L1 on coded boxes.

    Both terms are sums divided by the number of positives of the batch (at least 1).

    Args:
        priors: [P, 4], (cx, cy, w, h).
        matches: [N, P], object of each prior or -1.
        small_object_weight: factor on both losses of positives whose object is small.
    """
    positive = matches >= 0
    index = matches.clamp(min=0)
    labels = torch.where(positive, objects.labels.gather(1, index), 0)
    small = objects.small.gather(1, index) & positive
    weights = torch.where(small, small_object_weight, 1.0)

    logits = predictions.classes.float()
    entropy = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    entropy = entropy.view_as(labels)
    negative = hard_negatives(entropy.detach(), positive)
    class_loss = (entropy * weights)[positive | negative].sum()

    boxes = objects.boxes.gather(1, index[..., None].expand(-1, -1, 4))
    wanted = encode(boxes, priors)[positive]
    given = predictions.boxes.float()[positive]
    box_errors = functional.smooth_l1_loss(given, wanted, reduction="none").sum(-1)
    positives = positive.sum().clamp(min=1)
    return {
        "classes": class_loss / positives,
        "boxes": (box_errors * weights[positive]).sum() / positives,
    }


def hard_negatives(losses: Tensor, positive: Tensor) -> Tensor:
    """The backgrounds of highest loss, at most three per positive, image by image.

    Args:
        losses: [N, P].
        positive: [N, P], True where a prior has an object.
    """
    losses = losses.masked_fill(positive, -1)
    rank = losses.argsort(1, descending=True).argsort(1)
    wanted = NEGATIVES_PER_POSITIVE * positive.sum(1, keepdim=True)
    return (rank < wanted) & ~positive
