"""Box conversions and codings. Boxes are `xyxy` unless a name says otherwise."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert

CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2

TINY = 1e-7
"""Added to areas by which is divided, as in torchvision's loss."""


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Offsets [..., 4] from priors to boxes (SSD, equation 2, with its variances).

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
    """Boxes [..., 4] as (x1, y1, x2, y2) from offsets [..., 4] and priors [..., 4]; the inverse of
    `encode`."""
    centre = priors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * priors[..., 2:]
    # An exponent of 10 is 22,000 times the prior: far outside any image, but finite.
    size = priors[..., 2:] * (offsets[..., 2:] * SIZE_VARIANCE).clamp(max=10).exp()
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def encode_in_cells(boxes: Tensor, points: Tensor) -> Tensor:
    """YOLOX's encoding, [..., 4]: the centre relative to the corner of the point's cell, and the
    logarithms of the sides, both in strides.

    Args:
        boxes: [..., 4], xyxy.
        points: [..., 4], (cx, cy, w, h) in the same unit; the sides are the point's stride.
    """
    target = box_convert(boxes, "xyxy", "cxcywh")
    centre = (target[..., :2] - points[..., :2]) / points[..., 2:] + 0.5
    size = (target[..., 2:].clamp(min=1e-8) / points[..., 2:]).log()
    return torch.cat((centre, size), -1)


def decode_in_cells(offsets: Tensor, points: Tensor) -> Tensor:
    """Boxes [..., 4] as (x1, y1, x2, y2) from offsets [..., 4] and points [..., 4]; the inverse of
    `encode_in_cells`."""
    centre = points[..., :2] + (offsets[..., :2] - 0.5) * points[..., 2:]
    # An exponent of 10 is 22,000 strides: far outside any image, but finite.
    size = points[..., 2:] * offsets[..., 2:].clamp(max=10).exp()
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def encode_as_sides(boxes: Tensor, points: Tensor) -> Tensor:
    """GFL's encoding, [..., 4]: distances from the point to the four sides (left, top, right,
    bottom) in strides, negative if the point is outside.

    Args:
        boxes: [..., 4], xyxy.
        points: [..., 4], (cx, cy, w, h) in the same unit; the sides are the point's stride.
    """
    centre, stride = points[..., :2], points[..., 2:]
    low, high = (centre - boxes[..., :2]) / stride, (boxes[..., 2:] - centre) / stride
    return torch.cat((low, high), -1)


def decode_from_sides(distances: Tensor, points: Tensor) -> Tensor:
    """Boxes [..., 4] as (x1, y1, x2, y2) from distances [..., 4] and points [..., 4]; the inverse
    of `encode_as_sides`."""
    centre, stride = points[..., :2], points[..., 2:]
    low, high = distances[..., :2] * stride, distances[..., 2:] * stride
    return torch.cat((centre - low, centre + high), -1)


def batched_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of every pair: [..., A, 4] and [..., B, 4], both xyxy, to [..., A, B].

    Pairs in which either box is empty have IoU 0.
    """
    return aligned_iou(boxes[..., :, None, :], others[..., None, :, :])


def aligned_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of corresponding boxes: [..., 4] and [..., 4], both xyxy, to [...].

    Pairs in which either box is empty have IoU 0.
    """
    intersection, union = _overlap(boxes, others)
    return intersection / union.clamp(min=1e-12)


def aligned_giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al., 2019) of corresponding boxes: [..., 4] and [..., 4],
    both xyxy, to [...].

    torchvision's selects the overlapping pairs by value, for which a GPU has to be waited for.
    """
    intersection, union = _overlap(boxes, others)
    low = torch.minimum(boxes[..., :2], others[..., :2])
    hull = _product(torch.maximum(boxes[..., 2:], others[..., 2:]) - low)
    return intersection / (union + TINY) - (hull - union) / (hull + TINY)


def _overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of intersection and union of corresponding boxes."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    intersection = _product((high - low).clamp(min=0))
    area = _product(boxes[..., 2:] - boxes[..., :2])
    other_area = _product(others[..., 2:] - others[..., :2])
    return intersection, area + other_area - intersection


def _product(sides: Tensor) -> Tensor:
    """[..., 2] to [...]; `prod` is several times slower along so short an axis."""
    return sides[..., 0] * sides[..., 1]
