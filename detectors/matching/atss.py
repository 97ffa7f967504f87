"""GFL's assignment, ATSS: each object sets its own IoU threshold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_convert

from detectors.boxes import aligned_iou
from detectors.matching.objects import Objects

TOLERANCE = 1e-6
"""Tolerance of the threshold. If all candidates of an object have the same IoU, the threshold is
that IoU, and rounding must not lose the object."""


@torch.no_grad()
def match_atss(
    anchors: Tensor, counts: Sequence[int], objects: Objects, nearest: int = 9
) -> Tensor:
    """ATSS (Zhang et al., Bridging the Gap Between Anchor-based and Anchor-free Detection, 2020,
    algorithm 1).

    The candidates of an object are the anchors of each level whose centres are nearest to its own.
    A candidate is positive if its centre is inside the box and its IoU reaches the mean plus the
    standard deviation of the candidates' IoUs (sample deviation, divided by n - 1). An anchor that
    is positive for several objects is assigned to the one of largest IoU, the first if equal.

    Args:
        anchors: [P, 4], (cx, cy, w, h) in the unit of the objects' boxes, level after level.
        counts: how many anchors each level has.
        nearest: candidates on each level.

    Returns:
        [N, P], the index of the object, -1 for background.
    """
    parts = objects.some_images(len(anchors))
    return torch.cat([_match(anchors, counts, some, nearest) for _, some in parts])


def _match(anchors: Tensor, counts: Sequence[int], objects: Objects, nearest: int) -> Tensor:
    """[n, P]; the objects of an image are compared with the anchors in parts."""
    corners = box_convert(anchors, "cxcywh", "xyxy")
    best = anchors.new_full((len(objects.boxes), len(anchors)), -1)
    owners = torch.full_like(best, -1, dtype=torch.long)
    for first, some in objects.some_objects(len(anchors)):
        candidates = _nearest(anchors, counts, some.boxes, nearest)
        boxes = some.boxes[..., None, :]
        iou = aligned_iou(boxes, corners[candidates])
        centres = anchors[candidates][..., :2]
        inside = ((centres > boxes[..., :2]) & (centres < boxes[..., 2:])).all(-1)
        positive = inside & (iou >= _thresholds(iou) - TOLERANCE) & some.valid[..., None]
        scores = iou.new_full((*some.valid.shape, len(anchors)), -1)
        scores.scatter_(2, candidates, torch.where(positive, iou, -1))
        highest, owner = scores.max(1)
        # Of equal ones, the first stays.
        owners = torch.where(highest > best, owner + first, owners)
        best = torch.maximum(best, highest)
    return owners


def _nearest(anchors: Tensor, counts: Sequence[int], boxes: Tensor, nearest: int) -> Tensor:
    """[N, G, K], the anchors nearest to the centres of boxes [N, G, 4], level after level."""
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(centres, anchors[:, :2].expand(len(boxes), -1, -1), compute_mode=exact)
    chosen, first = [], 0
    for level in distances.split(list(counts), dim=2):
        count = level.shape[2]
        chosen.append(first + level.topk(min(nearest, count), largest=False).indices)
        first += count
    return torch.cat(chosen, 2)


def _thresholds(iou: Tensor) -> Tensor:
    """[N, G, 1], mean plus deviation over the candidates; 0 deviation for a single one."""
    mean = iou.mean(-1, keepdim=True)
    return mean + iou.std(-1, keepdim=True) if iou.shape[-1] > 1 else mean
