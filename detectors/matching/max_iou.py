"""SSD's matching: a prior is assigned the object that it overlaps most."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert

from detectors.boxes import batched_iou
from detectors.matching.objects import Objects


@torch.no_grad()
def match_max_iou(priors: Tensor, objects: Objects, threshold: float = 0.5) -> Tensor:
    """SSD's matching (Liu et al. 2016, section 2.2): each prior is assigned the object of largest
    IoU if that reaches `threshold`; each object also gets its best prior, whatever the IoU.

    Args:
        priors: [P, 4], (cx, cy, w, h).

    Returns:
        [N, P], the index of the object, -1 for background. Where two objects have the same best
        prior, the later one gets it.
    """
    corners = box_convert(priors, "cxcywh", "xyxy")
    parts = objects.some_images(len(priors))
    return torch.cat([_match(corners, some, threshold) for _, some in parts])


def _match(corners: Tensor, objects: Objects, threshold: float) -> Tensor:
    """[n, P]; the objects of an image are compared with priors `corners` [P, 4] in parts."""
    images, priors = len(objects.boxes), len(corners)
    best = corners.new_full((images, priors), -1)
    owners, claims = torch.full((2, images, priors), -1, device=corners.device)
    for first, some in objects.some_objects(priors):
        iou = batched_iou(corners.expand(images, -1, 4), some.boxes)
        iou = iou.masked_fill(~some.valid[:, None, :], -1)
        highest, owner = iou.max(-1)
        # Of equal ones, the first stays.
        owners = torch.where(highest > best, owner + first, owners)
        best = torch.maximum(best, highest)
        claimed = iou.argmax(1)
        numbers = torch.arange(first, first + some.valid.shape[1], device=iou.device)
        numbers = torch.where(some.valid, numbers.expand_as(claimed), -1)
        claims.scatter_reduce_(1, claimed, numbers, "amax")
    return torch.where(claims >= 0, claims, torch.where(best >= threshold, owners, -1))
