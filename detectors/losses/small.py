"""The weighted loss of small objects (docs/small_objects.md), the same for every head."""

from __future__ import annotations

import torch
from torch import Tensor

from searchspace.training import SmallObjects

EVEN = SmallObjects()
"""No difference between small objects and others."""


def weigh_small(losses: Tensor, small: Tensor, config: SmallObjects) -> Tensor:
    """a * loss + c for small objects, the loss itself for others.

    Args:
        losses: [M], localisation losses of positives.
        small: [M], True where the positive's object is small.
    """
    return torch.where(small, config.weight * losses + config.offset, losses)
