"""YOLOX's assignment, SimOTA: each object gets the points that are cheapest for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from detectors.boxes import batched_iou
from detectors.matching.objects import Objects, match_in_chunks

RADIUS = 1.5
"""Radius around an object's centre for its points, along either axis, in strides of the point."""

MOST_POINTS = 10
"""Number of IoUs summed to an object's number of points, and so the most points of an object."""

IOU_COST = 3.0
OUTSIDE_COST = 1e6


@torch.no_grad()
def match_simota(
    boxes: Tensor, classes: Tensor, objectness: Tensor, points: Tensor, objects: Objects
) -> Tensor:
    """SimOTA (Ge et al., YOLOX: Exceeding YOLO Series in 2021, section 2).

    Candidates are the points less than 1.5 of their strides from the centre of some object, along
    both axes; they need not be inside its box. For an object, a candidate costs

        BCE(sqrt(class * objectness), one-hot label), summed over classes, + 3 * -ln(IoU),

    plus a million if it is near the centres of other objects only, so that an object gets such a
    point only if it has too few of its own. An object takes its k cheapest candidates; k is the sum
    of its ten largest IoUs, rounded down, at least 1. A point taken by several objects is assigned
    to the one for which it is cheapest, the first if equal.

    Args:
        boxes: [N, P, 4], decoded predictions, xyxy in pixels of the input.
        classes: [N, P, C], logits without background.
        objectness: [N, P], logits.
        points: [P, 4], (cx, cy, w, h) in pixels; the sides are the point's stride.
        objects: boxes in pixels (`Objects.scaled`).

    Returns:
        [N, P], the index of the object, -1 for background.
    """

    def match(images: slice) -> Tensor:
        some = objects.of_images(images)
        near = _near_centres(points, some)
        candidates = near.any(1, keepdim=True) & some.valid[..., None]
        iou = batched_iou(some.boxes, boxes[images].float()) * candidates
        cost = _class_costs(classes[images].float(), objectness[images].float(), some.labels)
        cost = cost - IOU_COST * (iou + 1e-8).log() + OUTSIDE_COST * ~near
        return _take_cheapest(cost.masked_fill(~candidates, torch.inf), iou)

    return match_in_chunks(match, len(boxes), objects.valid.shape[1] * len(points))


def _near_centres(points: Tensor, objects: Objects) -> Tensor:
    """[N, G, P], True if the point is within the radius of the object's centre."""
    centres = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
    offsets = (points[:, :2] - centres[..., None, :]).abs()
    return (offsets < RADIUS * points[:, 2:]).all(-1) & objects.valid[..., None]


def _class_costs(classes: Tensor, objectness: Tensor, labels: Tensor) -> Tensor:
    """[N, G, P], binary cross-entropy of a point's scores with an object's label.

    Objects differ in one class only, so the sum over classes is computed once per point.
    Logarithms are floored at -100, as `binary_cross_entropy` does.
    """
    log_score = (functional.logsigmoid(classes) + functional.logsigmoid(objectness)[..., None]) / 2
    log_other = torch.log1p(-log_score.exp()).clamp(min=-100)
    gain = log_score.clamp(min=-100) - log_other
    label = (labels - 1).clamp(min=0)[:, None, :].expand(-1, classes.shape[1], -1)
    return -(log_other.sum(-1, keepdim=True) + gain.gather(2, label)).transpose(1, 2)


def _take_cheapest(cost: Tensor, iou: Tensor) -> Tensor:
    """[N, P], the object of each point, from costs (infinite if excluded) and IoUs [N, G, P]."""
    most = min(MOST_POINTS, cost.shape[2])
    counts = iou.topk(most).values.sum(-1).int().clamp(min=1)
    costs, cheapest = cost.topk(most, largest=False)
    wanted = torch.arange(most, device=cost.device) < counts[..., None]
    taken = torch.zeros_like(cost, dtype=torch.uint8)
    taken.scatter_(2, cheapest, (wanted & costs.isfinite()).byte())
    takers = taken.sum(1)
    owner = torch.where(takers == 1, taken.argmax(1), cost.argmin(1))
    return torch.where(takers > 0, owner, -1)
