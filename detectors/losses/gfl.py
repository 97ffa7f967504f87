"""GFL's loss: scores that predict the IoU, and box sides as distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.boxes import aligned_giou, aligned_iou, encode_as_sides
from detectors.group import divisor
from detectors.losses.quality import distribution_focal_losses, quality_focal_losses
from detectors.losses.small import EVEN, weigh_small
from detectors.matching import Objects, match_atss, matched
from searchspace.training import SmallObjects

BOX_WEIGHT = 2.0
DISTRIBUTION_WEIGHT = 0.25
ANCHOR_STRIDES = 8
"""Side of the square anchor that stands for a point in the assignment, in strides."""


def gfl_losses(
    boxes: Tensor,
    classes: Tensor,
    sides: Tensor,
    points: Tensor,
    counts: Sequence[int],
    objects: Objects,
    small_objects: SmallObjects = EVEN,
) -> dict[str, Tensor]:
    """ATSS assignment, then quality focal, GIoU and distribution focal losses (Li et al., 2020).

    Quality focal losses of all scores are summed and divided by the number of positives. Both
    losses of a positive's box are weighted by its largest class score (without gradient) and
    divided by the sum of these weights; the distribution focal loss is the mean over four sides.
    Both divisors are at least 1.

    Args:
        boxes: [N, P, 4], decoded predictions, xyxy in pixels of the input.
        classes: [N, P, C], logits without background.
        sides: [N, P, 4, B], logits of the distances from the point to the box's left, top, right
            and bottom, over bins at 0, 1, ... B - 1 strides.
        points: [P, 4], (cx, cy, w, h) in pixels, level after level; the sides are the stride.
        counts: how many points each level has.
        objects: boxes in pixels (`Objects.scaled`).
        small_objects: acts on 1 - GIoU only, as published, not on scores or distributions.

    Returns:
        The scalar terms `classes`, `boxes` and `distributions`.
    """
    anchors = torch.cat((points[:, :2], ANCHOR_STRIDES * points[:, 2:]), -1)
    found = matched(objects, match_atss(anchors, counts, objects))
    logits, given = classes.float(), boxes.float()
    iou = aligned_iou(given.detach(), found.boxes)
    quality = found.one_hot(logits.shape[-1]) * iou[..., None]
    wanted = encode_as_sides(found.boxes, points)
    distribution = distribution_focal_losses(sides.float(), wanted).mean(-1)
    weights = logits.detach().sigmoid().amax(-1)
    total = divisor(found.sum(weights))
    small = weigh_small(1 - aligned_giou(given, found.boxes), found.small, small_objects)
    return {
        "classes": quality_focal_losses(logits, quality).sum() / found.count,
        "boxes": BOX_WEIGHT * found.sum(weights * small) / total,
        "distributions": DISTRIBUTION_WEIGHT * found.sum(weights * distribution) / total,
    }
