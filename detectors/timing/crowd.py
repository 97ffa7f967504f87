"""A fixed load for post-processing: candidate boxes as many as wanted, whatever the weights.

The heads of an untrained network put nearly every box above a low threshold, and those of two
trained ones differ; with the same crowd for all, frames per second depend on the architecture only.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_SIDE, MOST_SIDE = 0.02, 0.3


def crowd(
    candidates: int, like: Tensor, score_threshold: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Boxes [N, P, 4] and scores [N, P, K], of which `candidates` an image pass the threshold.

    These are all, where N images have fewer. Boxes are squares at random places, of which some
    overlap, as detections of neighbouring priors do.

    Args:
        like: scores [N, P, K] of a network.
    """
    images, priors, classes = like.shape
    random = torch.Generator().manual_seed(0)
    centre = torch.rand(images, priors, 2, generator=random)
    side = LEAST_SIDE + (MOST_SIDE - LEAST_SIDE) * torch.rand(images, priors, 1, generator=random)
    boxes = torch.cat((centre - side / 2, centre + side / 2), -1)
    order = torch.rand(images, priors * classes, generator=random).argsort(dim=1)
    passing = torch.rand(images, priors * classes, generator=random)
    passing = score_threshold + (1 - score_threshold) * passing.clamp(min=0.01)
    scores = torch.where(order < candidates, passing, 0.0).reshape(images, priors, classes)
    return boxes.to(device), scores.to(device)
