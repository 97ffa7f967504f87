"""SSD's matching: a prior is assigned the object that it overlaps most."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert

from detectors.boxes import batched_iou
from detectors.matching.objects import Objects


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
    iou = batched_iou(corners.expand(len(objects.boxes), -1, 4), objects.boxes)
    iou = iou.masked_fill(~objects.valid[:, None, :], -1)
    best, matched = iou.max(-1)
    matched = torch.where(best >= threshold, matched, -1)
    claimed = iou.argmax(1)
    numbers = torch.arange(objects.valid.shape[1], device=iou.device).expand_as(claimed)
    numbers = torch.where(objects.valid, numbers, -1)
    claims = torch.full_like(matched, -1)
    claims.scatter_reduce_(1, claimed, numbers, "amax")
    return torch.where(claims >= 0, claims, matched)
