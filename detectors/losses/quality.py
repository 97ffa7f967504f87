"""GFL's two focal losses (Li et al., Generalized Focal Loss, NeurIPS 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BETA = 2.0
"""Exponent of the distance between score and quality."""


def quality_focal_losses(logits: Tensor, quality: Tensor) -> Tensor:
    """|quality - score|^2 times binary cross-entropy (equation 2), element by element.

    Args:
        logits: [...].
        quality: [...], target scores in 0..1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return entropy * (quality - logits.sigmoid()).abs() ** BETA


def distribution_focal_losses(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy with the two bins next to each distance, weighted by its closeness to either
    (equation 3).

    Args:
        logits: [..., B], over bins at 0, 1, ... B - 1.
        distances: [...], in bins, clamped to 0..B - 1.

    Returns:
        [...], losses.
    """
    last = logits.shape[-1] - 1
    distances = distances.clamp(min=0, max=last)
    left = distances.long().clamp(max=last - 1)
    beyond = (distances - left)[..., None]
    bins = torch.stack((left, left + 1), -1)
    weights = torch.cat((1 - beyond, beyond), -1)
    return -(logits.log_softmax(-1).gather(-1, bins) * weights).sum(-1)
