"""A fixed load for post-processing: the same number of candidate boxes, whatever the weights.

The head of an untrained network scores nearly every box above a low threshold, and trained heads
differ; with the same load for all, frames per second depend on the architecture only.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fixed_scores(candidates: int, shape: tuple[int, int, int], score_threshold: float) -> Tensor:
    """Scores [N, P, K] of which `candidates` per image pass the threshold, each of another prior.

    If there are fewer priors, all P pass. Priors and classes are drawn at random, so that some of
    the boxes overlap.

    Args:
        shape: (N, P, K).
    """
    images, priors, classes = shape
    random = torch.Generator().manual_seed(0)
    order = torch.rand(images, priors, generator=random).argsort(dim=1)
    passing = torch.rand(images, priors, generator=random).clamp(0.01, 0.99)
    passing = score_threshold + (1 - score_threshold) * passing
    chosen = torch.where(order < candidates, passing, 0.0)[..., None]
    labels = torch.randint(classes, (images, priors, 1), generator=random)
    return torch.zeros(shape).scatter(2, labels, chosen)
