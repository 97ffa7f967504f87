"""Prior rules: which sizes and ratios of priors a level gets."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from searchspace.config import Config
from searchspace.domains import Choice
from searchspace.geometry import Level, Size, both_axes, one_if_equal, shown
from searchspace.registry import Registry

Positive = Annotated[float, Field(gt=0)]

Ratios = tuple[Annotated[float, Field(gt=1)], ...]
"""Each ratio r stands for two boxes, with width / height of r and of 1 / r."""

Cells = Annotated[float, Choice(1.25, 2.0, 2.8, 3.75), Field(gt=0)]

LARGEST = 0.9
"""The largest min size of a scaled prior, as a fraction of the input's shorter side."""

OWN_LEVELS = ("first", "second", "third")
"""The levels with their own rule in levelled priors."""

LEAST_GROWTH = 1.25
"""Ratio of max to min size for a level whose successor has cells of the same size."""


class LevelPriors(Config):
    """The default boxes of one level, in pixels of the network's input (SSD, section 2.2).

    The boxes of a cell are a square of side `min_size`, one of side sqrt(min_size * max_size), and
    for each ratio r two boxes of r:1 and 1:r with the area of the first.

    Attributes:
        step: distance of the cells' centres; (vertical, horizontal) if they differ.
    """

    step: Positive | tuple[Positive, Positive]
    min_size: Positive
    max_size: Positive
    ratios: Ratios

    @property
    def boxes_per_cell(self) -> int:
        return 2 + 2 * len(self.ratios)


def even_step(level: Level, size: Size) -> float | tuple[float, float]:
    """The step at which a map's cells cover an input of `size` pixels."""
    return one_if_equal((size[0] / level.height, size[1] / level.width))


class PriorRule(Config, ABC):
    """A rule for the sizes and ratios of a multibox head's priors, level by level.

    A rule is registered with `@PRIOR_RULES.register`, and a space names it as
    `detector.head.multibox.priors.kind`. It needs no module: boxes are computed from its output.

    Attributes:
        kind: the name of the rule in files; a `Literal` with itself as default.
    """

    kind: str

    @abstractmethod
    def for_levels(self, levels: tuple[Level, ...], size: Size) -> tuple[LevelPriors, ...]:
        """The priors of each level.

        Args:
            levels: the maps that the head reads, finest first, with their cells.
            size: height and width of the network's input in pixels.

        Returns:
            One for each level, in pixels of the input. `even_step` returns the step at which the
            cells of a level cover the input.

        Raises:
            ValueError: the rule does not suit these levels; the message says why, and how to fix
                it.
        """

    def for_cells(self, changes: tuple[float, ...]) -> Self:
        """The rule for another input size, whose cells are larger by these factors, level by level;
        by default the same rule."""
        return self


class ListedPriors(PriorRule):
    """Priors listed level by level, as published in the papers.

    Attributes:
        sizes: pixels; level k uses sizes[k] as min and sizes[k + 1] as max size.
        steps: distance of the centres of a level's cells, in pixels.
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
            raise ValueError(f"listed priors: sizes must be ascending, not {self.sizes}")
        return self

    def for_levels(self, levels: tuple[Level, ...], size: Size) -> tuple[LevelPriors, ...]:
        if len(levels) != len(self.steps):
            maps = ", ".join(shown(level.size) for level in levels)
            raise ValueError(
                f"listed priors for {len(self.steps)} levels, but the maps are {maps}: list "
                f"{len(levels)} levels or use priors of kind 'scaled'"
            )
        pairs = itertools.pairwise(self.sizes)
        return tuple(
            LevelPriors(step=step, min_size=low, max_size=high, ratios=ratios)
            for step, (low, high), ratios in zip(self.steps, pairs, self.ratios, strict=True)
        )

    def rules(self) -> tuple[LevelRule, ...]:
        """The rule of each level that is equivalent to its list."""
        rows = zip(self.sizes, self.steps, self.ratios, strict=False)
        return tuple(LevelRule(cells=size / step, ratios=ratios) for size, step, ratios in rows)

    def shares(self) -> tuple[float, ...]:
        """The share of each level in all priors."""
        counts = [(2 + 2 * len(r)) / s**2 for r, s in zip(self.ratios, self.steps, strict=True)]
        return tuple(count / sum(counts) for count in counts)

    def read_as(self, cls: type[Config]) -> Config | None:
        """The rule, or the rules level by level, with the most similar priors."""
        rules, shares = self.rules(), self.shares()
        if cls is ScaledPriors:
            rule = typical(rules, shares)
            return ScaledPriors(cells=rule.cells, ratios=rule.ratios)
        if cls is not LevelledPriors:
            return super().read_as(cls)
        own = len(OWN_LEVELS)
        if not rules[own:]:
            return None
        first, second, third = rules[:own]
        coarser = typical(rules[own:], shares[own:])
        return LevelledPriors(first=first, second=second, third=third, coarser=coarser)

    def unlike(self, other: Config) -> float:
        """The mean over all priors of the relative difference in size from those of another
        kind."""
        if not isinstance(other, ScaledPriors | LevelledPriors):
            return super().unlike(other)
        theirs = other.rules(len(self.steps))
        return sum(
            share * (abs(math.log(one.cells / two.cells)) + (one.ratios != two.ratios))
            for share, one, two in zip(self.shares(), self.rules(), theirs, strict=True)
        )

    def in_words(self) -> str:
        return f"listed priors from {self.sizes[0]:g} px"

    def for_cells(self, changes: tuple[float, ...]) -> Self:
        """The same boxes on maps with cells larger by these factors, level by level."""
        steps = tuple(s * change for s, change in zip(self.steps, changes, strict=True))
        return self.model_copy(update={"steps": steps})


class ScaledPriors(PriorRule):
    """Priors by a rule for any number of levels: a level's sizes are proportional to its cells.

    A prior much smaller than its cell misses most objects between two centres; in the papers, the
    first level has 1.25 (S1L6, 10 pixels on 8) to 3.75 cells (SSD300, 30 pixels on 8).

    Attributes:
        cells: side of a level's smaller square in cells of that level, up to `LARGEST` of the
            input's shorter side.
        ratios: the aspect ratios of every level besides 1.
    """

    kind: Literal["scaled"] = "scaled"
    cells: Cells = 2.8
    ratios: Ratios = (2, 3)

    def in_words(self) -> str:
        return f"priors of {self.cells:g} cells"

    def rules(self, levels: int) -> tuple[LevelRule, ...]:
        """The rule of each of so many levels."""
        return (LevelRule(cells=self.cells, ratios=self.ratios),) * levels

    def read_as(self, cls: type[Config]) -> Config | None:
        """The same rule for each of the separate levels."""
        if cls is not LevelledPriors:
            return super().read_as(cls)
        [rule] = self.rules(1)
        return LevelledPriors(first=rule, second=rule, third=rule, coarser=rule)

    def for_levels(self, levels: tuple[Level, ...], size: Size) -> tuple[LevelPriors, ...]:
        return by_rules(self.rules(len(levels)), levels, size)


class LevelRule(Config):
    """The priors of one level, in its cells.

    Attributes:
        cells: side of the smaller square, as in `ScaledPriors`.
        ratios: the aspect ratios besides 1.
    """

    cells: Cells = 2.8
    ratios: Annotated[Ratios, Choice((2.0,), (2.0, 3.0))] = (2, 3)


class LevelledPriors(PriorRule):
    """The rule of `ScaledPriors` with separate sizes and ratios for the three finest levels.

    Attributes:
        coarser: the rule of all levels after the third.
    """

    kind: Literal["levelled"] = "levelled"
    first: LevelRule = LevelRule()
    second: LevelRule = LevelRule()
    third: LevelRule = LevelRule()
    coarser: LevelRule = LevelRule()

    def in_words(self) -> str:
        rules = (self.first, self.second, self.third, self.coarser)
        return f"priors of {', '.join(f'{rule.cells:g}' for rule in rules)} cells"

    def rules(self, levels: int) -> tuple[LevelRule, ...]:
        """The rule of each of `levels` levels; raises ValueError for three or fewer."""
        own = tuple(getattr(self, name) for name in OWN_LEVELS)
        if levels <= len(own):
            raise ValueError(
                f"levelled priors are for {len(own) + 1} levels or more, not {levels}: use "
                "priors of kind 'scaled', or a neck with more levels"
            )
        return (*own, *(self.coarser,) * (levels - len(own)))

    def read_as(self, cls: type[Config]) -> Config | None:
        """The rule of the finest level, which has most of the priors."""
        if cls is not ScaledPriors:
            return super().read_as(cls)
        return ScaledPriors(cells=self.first.cells, ratios=self.first.ratios)

    def for_levels(self, levels: tuple[Level, ...], size: Size) -> tuple[LevelPriors, ...]:
        return by_rules(self.rules(len(levels)), levels, size)


def typical(rules: Sequence[LevelRule], shares: Sequence[float]) -> LevelRule:
    """The median rule of several levels by size, weighted by their shares of priors."""
    ordered = sorted(zip(rules, shares, strict=True), key=lambda pair: pair[0].cells)
    passed = itertools.accumulate(share for _, share in ordered)
    half = sum(shares) / 2
    middle = next(rule for (rule, _), so_far in zip(ordered, passed, strict=True) if so_far >= half)
    by_ratios: dict[Ratios, float] = {}
    for rule, share in zip(rules, shares, strict=True):
        by_ratios[rule.ratios] = by_ratios.get(rule.ratios, 0.0) + share
    return middle.changed(ratios=max(by_ratios, key=by_ratios.__getitem__))


def by_rules(
    rules: tuple[LevelRule, ...], levels: tuple[Level, ...], size: Size
) -> tuple[LevelPriors, ...]:
    """Priors by rules; the max size of a level is the min size of the next one."""
    steps = [even_step(level, size) for level in levels]
    sizes = [
        min(rule.cells * min(both_axes(step)), LARGEST * min(size))
        for rule, step in zip(rules, steps, strict=True)
    ]
    above = [*sizes[1:], min(size)]
    return tuple(
        LevelPriors(
            step=step, min_size=low, max_size=max(high, LEAST_GROWTH * low), ratios=rule.ratios
        )
        for rule, step, low, high in zip(rules, steps, sizes, above, strict=True)
    )


PRIOR_RULES = Registry[PriorRule]("prior rule", ListedPriors, ScaledPriors, LevelledPriors)
