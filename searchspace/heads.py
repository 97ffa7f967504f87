"""Heads, and the priors that they predict from."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field, model_validator

from searchspace.domains import Choice, Fixed
from searchspace.geometry import Level
from searchspace.space import Config

Ratios = tuple[Annotated[float, Field(gt=1)], ...]
"""Each stands for the box that is so many times as wide as high, and for the other way round."""

LARGEST = 0.9
"""The largest min size of a scaled prior, as a fraction of the input's side."""

LEAST_GROWTH = 1.25
"""Max over min size of a level whose successor has cells of the same size."""


class LevelPriors(Config):
    """The default boxes of one level, in pixels of the network's input (SSD, section 2.2).

    Boxes of a cell: a square of side `min_size`, one of side sqrt(min_size * max_size), and for
    each ratio r two boxes of r:1 and 1:r with the area of the first.
    """

    step: float = Field(gt=0)
    min_size: float = Field(gt=0)
    max_size: float = Field(gt=0)
    ratios: Ratios

    @property
    def boxes_per_cell(self) -> int:
        return 2 + 2 * len(self.ratios)


class ListedPriors(Config):
    """Priors given level by level, as the papers print them.

    Attributes:
        sizes: pixels; level k uses sizes[k] as min and sizes[k + 1] as max size.
        steps: pixels between the centres of a level's cells.
        ratios: the aspect ratios of each level besides 1.
    """

    kind: Literal["listed"] = "listed"
    sizes: tuple[float, ...] = (45, 90, 135, 180, 225, 270, 315)
    steps: tuple[float, ...] = (16, 32, 64, 100, 150, 300)
    ratios: tuple[Ratios, ...] = ((2, 3), (2, 3), (2, 3), (2, 3), (2, 3), (2,))

    @model_validator(mode="after")
    def _lengths_agree(self) -> ListedPriors:
        lengths = (len(self.sizes) - 1, len(self.steps), len(self.ratios))
        if len(set(lengths)) > 1:
            raise ValueError(
                "listed priors: one more size than steps and ratios, not "
                f"{len(self.sizes)} sizes, {len(self.steps)} steps, {len(self.ratios)} ratios"
            )
        if any(b <= a for a, b in itertools.pairwise(self.sizes)):
            raise ValueError(f"listed priors: sizes must rise, not {self.sizes}")
        return self

    def for_levels(self, levels: tuple[Level, ...], input_size: int) -> tuple[LevelPriors, ...]:
        if len(levels) != len(self.steps):
            maps = [level.size for level in levels]
            raise ValueError(
                f"listed priors for {len(self.steps)} levels, but the maps are {maps}: list "
                f"{len(levels)} levels or use priors of kind 'scaled'"
            )
        pairs = itertools.pairwise(self.sizes)
        return tuple(
            LevelPriors(step=step, min_size=low, max_size=high, ratios=ratios)
            for step, (low, high), ratios in zip(self.steps, pairs, self.ratios, strict=True)
        )


class ScaledPriors(Config):
    """Priors by a rule that suits any number of levels: a level's size follows its cells.

    A prior much smaller than its cell misses most objects between two centres; the papers' first
    levels have 1.25 (S1L6, 10 pixels on 8) to 3.75 cells (SSD300, 30 pixels on 8).

    Attributes:
        cells: side of a level's smaller square in cells of that level, up to `LARGEST` of the
            input's side.
        ratios: the aspect ratios of every level besides 1.
    """

    kind: Literal["scaled"] = "scaled"
    cells: Annotated[float, Choice(1.25, 2.0, 2.8, 3.75), Field(gt=0)] = 2.8
    ratios: Ratios = (2, 3)

    def for_levels(self, levels: tuple[Level, ...], input_size: int) -> tuple[LevelPriors, ...]:
        steps = [input_size / level.size for level in levels]
        sizes = [min(self.cells * step, LARGEST * input_size) for step in steps]
        above = [*sizes[1:], input_size]
        return tuple(
            LevelPriors(
                step=step, min_size=low, max_size=max(high, LEAST_GROWTH * low), ratios=self.ratios
            )
            for step, low, high in zip(steps, sizes, above, strict=True)
        )


class Postprocess(Config):
    """From scores to detections (SSD, section 3.1; evaluated on COCO with at most 100)."""

    score_threshold: float = Field(default=0.01, ge=0, lt=1)
    candidates: int = Field(default=400, ge=1, description="boxes an image that reach NMS")
    nms_iou: float = Field(default=0.45, gt=0, le=1)
    detections: int = Field(default=100, ge=1, description="boxes an image that are kept")


class Multibox(Config):
    """SSD's head: on each level one 3x3 convolution for boxes, one for softmax classes.

    A search draws priors by the rule only: lists hold for one number of levels.
    """

    kind: Literal["multibox"] = "multibox"
    priors: Annotated[ListedPriors | ScaledPriors, Fixed("scaled"), Field(discriminator="kind")] = (
        ListedPriors()
    )
    postprocess: Postprocess = Postprocess()
