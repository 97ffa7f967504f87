"""SSD's loss: (predictions, priors, matches, objects) to named terms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from detectors.boxes import encode
from detectors.features import Predictions
from detectors.losses.small import EVEN, weigh_small
from detectors.matching import Objects, matched
from searchspace.training import SmallObjects

NEGATIVES_PER_POSITIVE = 3


def multibox_loss(
    predictions: Predictions,
    priors: Tensor,
    matches: Tensor,
    objects: Objects,
    small_objects: SmallObjects = EVEN,
) -> dict[str, Tensor]:
    """SSD's loss (Liu et al. 2016, section 2.2): cross-entropy with hard negatives, smooth L1 on
    encoded boxes.

    Both terms are sums divided by the number of positives of the batch (at least 1).

    Args:
        priors: [P, 4], (cx, cy, w, h).
        matches: [N, P], index of each prior's object, -1 for background.
        small_objects: the weight acts on both terms of small objects, the offset on boxes only.
    """
    found = matched(objects, matches)
    logits = predictions.classes.float()
    entropy = functional.cross_entropy(
        logits.flatten(0, 1), found.labels.flatten(), reduction="none"
    ).view_as(found.labels)
    negative = hard_negatives(entropy.detach(), found.positive)
    weights = torch.where(found.small, small_objects.weight, 1.0)
    class_loss = torch.where(found.positive | negative, entropy * weights, 0).sum()

    wanted = encode(found.boxes, priors)
    given = predictions.boxes.float()
    box_errors = functional.smooth_l1_loss(given, wanted, reduction="none").sum(-1)
    return {
        "classes": class_loss / found.count,
        "boxes": found.sum(weigh_small(box_errors, found.small, small_objects)) / found.count,
    }


def hard_negatives(losses: Tensor, positive: Tensor) -> Tensor:
    """The background priors of highest loss, at most three per positive, for each image.

    Args:
        losses: [N, P].
        positive: [N, P], True if the prior has an object.
    """
    losses = losses.masked_fill(positive, -1)
    rank = losses.argsort(1, descending=True).argsort(1)
    wanted = NEGATIVES_PER_POSITIVE * positive.sum(1, keepdim=True)
    return (rank < wanted) & ~positive
