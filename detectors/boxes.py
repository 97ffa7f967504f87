"""Box conversions and codings. Boxes are `xyxy` unless a name says otherwise."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert

CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Offsets from priors to boxes (SSD, equation 2, with its variances).

    Args:
        boxes: [..., 4] as (x1, y1, x2, y2).
        priors: [..., 4] as (cx, cy, w, h), in the same unit.
    """
    target = box_convert(boxes, "xyxy", "cxcywh")
    centre = (target[..., :2] - priors[..., :2]) / (CENTRE_VARIANCE * priors[..., 2:])
    # Padding and empty boxes have no size; the floor keeps their logarithm finite.
    size = (target[..., 2:].clamp(min=1e-8) / priors[..., 2:]).log() / SIZE_VARIANCE
    return torch.cat((centre, size), -1)


def decode(offsets: Tensor, priors: Tensor) -> Tensor:
    """Boxes (x1, y1, x2, y2) from offsets, the inverse of `encode`."""
    centre = priors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * priors[..., 2:]
    # An exponent of 10 is 22,000 times the prior: far outside any image, but finite.
    size = priors[..., 2:] * (offsets[..., 2:] * SIZE_VARIANCE).clamp(max=10).exp()
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def batched_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of every pair: [..., A, 4] and [..., B, 4], both xyxy, to [..., A, B].

    Pairs in which either box is empty have IoU 0.
    """
    corner_low = torch.maximum(boxes[..., :, None, :2], others[..., None, :, :2])
    corner_high = torch.minimum(boxes[..., :, None, 2:], others[..., None, :, 2:])
    intersection = (corner_high - corner_low).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)[..., :, None]
    other_area = (others[..., 2:] - others[..., :2]).prod(-1)[..., None, :]
    return intersection / (area + other_area - intersection).clamp(min=1e-12)
