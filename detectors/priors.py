"""Default boxes (SSD, section 2.2), and points with the strides of their level as sides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from searchspace.geometry import InputSize, Level, both_axes
from searchspace.heads import LevelPoints
from searchspace.priors import LevelPriors


def level_priors(priors: LevelPriors, level: Level, input_size: InputSize) -> Tensor:
    """The default boxes of one level.

    Args:
        priors: sizes, step and ratios in pixels.
        input_size: the network's input in pixels.

    Returns:
        [cells * boxes_per_cell, 4], (cx, cy, w, h) as fractions of the input, clamped to 0..1 and
        ordered by row, column, box.
    """
    small, middle = priors.min_size, math.sqrt(priors.min_size * priors.max_size)
    shapes = [(small, small), (middle, middle)]
    for ratio in priors.ratios:
        long, short = small * math.sqrt(ratio), small / math.sqrt(ratio)
        shapes += [(long, short), (short, long)]
    xy = _centres(level, both_axes(priors.step))[:, None].expand(-1, len(shapes), 2)
    wh = torch.tensor(shapes, dtype=torch.float64).expand(level.cells, -1, 2)
    boxes = torch.cat((xy, wh), -1).reshape(-1, 4)
    return (boxes / _sides(input_size)).clamp(0, 1).float()


def level_points(points: LevelPoints, level: Level, input_size: InputSize) -> Tensor:
    """The points of one level.

    Args:
        points: their step in pixels.
        input_size: the network's input in pixels.

    Returns:
        [cells, 4], (cx, cy, w, h) as fractions of the input, not clamped, ordered by row, column;
        w and h are the step.
    """
    vertical, horizontal = both_axes(points.step)
    xy = _centres(level, (vertical, horizontal))
    wh = torch.tensor((horizontal, vertical), dtype=torch.float64).expand_as(xy)
    return (torch.cat((xy, wh), -1) / _sides(input_size)).float()


def default_boxes(
    priors: Sequence[LevelPriors | LevelPoints], levels: Sequence[Level], input_size: InputSize
) -> Tensor:
    """The default boxes or points of all levels, [P, 4] as (cx, cy, w, h) in fractions of the
    input."""
    made = [
        level_priors(p, level, input_size)
        if isinstance(p, LevelPriors)
        else level_points(p, level, input_size)
        for p, level in zip(priors, levels, strict=True)
    ]
    return torch.cat(made)


def _centres(level: Level, step: tuple[float, float]) -> Tensor:
    """[cells, 2], the centres (x, y) of a map's cells in pixels, row by row."""
    rows = (torch.arange(level.height, dtype=torch.float64) + 0.5) * step[0]
    columns = (torch.arange(level.width, dtype=torch.float64) + 0.5) * step[1]
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), -1).reshape(-1, 2)


def _sides(input_size: InputSize) -> Tensor:
    """The divisor that turns (x, y, x, y) in pixels into fractions."""
    height, width = both_axes(input_size)
    return torch.tensor((width, height, width, height), dtype=torch.float64)
