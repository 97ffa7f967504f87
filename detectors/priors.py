"""Default boxes (SSD, section 2.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from searchspace.geometry import Level
from searchspace.heads import LevelPriors


def level_priors(priors: LevelPriors, size: int, input_size: int) -> Tensor:
    """The default boxes of one level.

    Args:
        priors: sizes, step and ratios in pixels.
        size: side of the map in cells.
        input_size: side of the network's input in pixels.

    Returns:
        [size * size * boxes_per_cell, 4], (cx, cy, w, h) as fractions of the input, clamped to
        0..1 and ordered by row, column, box.
    """
    small, middle = priors.min_size, math.sqrt(priors.min_size * priors.max_size)
    shapes = [(small, small), (middle, middle)]
    for ratio in priors.ratios:
        long, short = small * math.sqrt(ratio), small / math.sqrt(ratio)
        shapes += [(long, short), (short, long)]
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * priors.step
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    xy = torch.stack((x, y), -1).reshape(-1, 1, 2).expand(-1, len(shapes), 2)
    wh = torch.tensor(shapes, dtype=torch.float64).expand(size * size, -1, 2)
    return (torch.cat((xy, wh), -1).reshape(-1, 4) / input_size).clamp(0, 1).float()


def default_boxes(
    priors: tuple[LevelPriors, ...], levels: tuple[Level, ...], input_size: int
) -> Tensor:
    """The default boxes of all levels, [P, 4] as (cx, cy, w, h) in fractions of the input."""
    return torch.cat(
        [level_priors(p, level.size, input_size) for p, level in zip(priors, levels, strict=True)]
    )
