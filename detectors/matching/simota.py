"""YOLOX's assignment, SimOTA: each object gets the points that are cheapest for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from detectors.boxes import batched_iou
from detectors.matching.objects import Objects

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

    return torch.cat(
        [
            _match(boxes[images].float(), classes[images], objectness[images], points, some)
            for images, some in objects.some_images(len(points))
        ]
    )


def _match(
    boxes: Tensor, classes: Tensor, objectness: Tensor, points: Tensor, objects: Objects
) -> Tensor:
    """[n, P]; the objects of an image are compared with the points in parts."""
    candidates = torch.zeros_like(objectness, dtype=torch.bool)
    for _, some in objects.some_objects(len(points)):
        candidates |= _near_centres(points, some).any(1)
    costs = _class_costs(classes.float(), objectness.float())
    cheapest = torch.full_like(candidates, torch.inf, dtype=torch.float32)
    takers, taker, owner = torch.full((3, *candidates.shape), -1, device=boxes.device)
    takers = takers + 1
    for first, some in objects.some_objects(len(points)):
        near = _near_centres(points, some)
        open_to = candidates[:, None] & some.valid[..., None]
        iou = batched_iou(some.boxes, boxes) * open_to
        cost = _of_labels(costs, some.labels)
        cost = cost - IOU_COST * (iou + 1e-8).log() + OUTSIDE_COST * ~near
        cost = cost.masked_fill(~open_to, torch.inf)
        taken = _cheapest(cost, iou)
        many = taken.sum(1)
        # Of equal ones, the first stays.
        taker = torch.where((takers == 0) & (many > 0), taken.argmax(1) + first, taker)
        takers = takers + many
        lowest, whose = cost.min(1)
        owner = torch.where(lowest < cheapest, whose + first, owner)
        cheapest = torch.minimum(cheapest, lowest)
    return torch.where(takers == 1, taker, torch.where(takers > 1, owner, -1))


def _near_centres(points: Tensor, objects: Objects) -> Tensor:
    """[N, G, P], True if the point is within the radius of the object's centre."""
    centres = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
    offsets = (points[:, :2] - centres[..., None, :]).abs()
    return (offsets < RADIUS * points[:, 2:]).all(-1) & objects.valid[..., None]


def _class_costs(classes: Tensor, objectness: Tensor) -> tuple[Tensor, Tensor]:
    """The binary cross-entropy of a point's scores with a label: [N, P, 1], what it is without one,
    and [N, P, C], by how much a label of each class lowers it.

    Objects differ in one class only, so the sum over classes is computed once per point.
    Logarithms are floored at -100, as `binary_cross_entropy` does.
    """
    log_score = (functional.logsigmoid(classes) + functional.logsigmoid(objectness)[..., None]) / 2
    log_other = torch.log1p(-log_score.exp()).clamp(min=-100)
    return -log_other.sum(-1, keepdim=True), log_score.clamp(min=-100) - log_other


def _of_labels(costs: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """[N, G, P], the class cost of each point for objects with labels [N, G]."""
    without, gain = costs
    label = (labels - 1).clamp(min=0)[:, None, :].expand(-1, gain.shape[1], -1)
    return (without - gain.gather(2, label)).transpose(1, 2)


def _cheapest(cost: Tensor, iou: Tensor) -> Tensor:
    """[N, G, P], 1 where an object takes a point, from costs (infinite if excluded) and IoUs."""
    most = min(MOST_POINTS, cost.shape[2])
    counts = iou.topk(most).values.sum(-1).int().clamp(min=1)
    costs, cheapest = cost.topk(most, largest=False)
    wanted = torch.arange(most, device=cost.device) < counts[..., None]
    taken = torch.zeros_like(cost, dtype=torch.uint8)
    return taken.scatter_(2, cheapest, (wanted & costs.isfinite()).byte())
