"""Constraints: bounds on figures of detectors on the front."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from launch.figures import FIGURES, FigureName
from searchspace.errors import InputError

UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


class Constraint(BaseModel):
    """A bound on one figure of the finished detector.

    Attributes:
        sense: `min` for a lower bound, `max` for an upper bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    figure: FigureName
    sense: Literal["min", "max"]
    bound: float

    @model_validator(mode="after")
    def _can_be_kept_and_broken(self) -> Constraint:
        if fault := bound_fault(self.figure, self.bound):
            raise ValueError(f"{self}: {fault}")
        return self

    @property
    def on_cost(self) -> bool:
        """Whether it bounds a cost, which may be predicted before training."""
        return FIGURES[self.figure].source == "cost"

    def violation(self, value: float | None) -> float:
        """The violation relative to the bound; 0 or less if it is satisfied.

        An undefined figure violates every bound by 1.
        """
        if value is None:
            return 1.0
        beyond = self.bound - value if self.sense == "min" else value - self.bound
        return beyond / (abs(self.bound) or 1.0)

    def broken_by(self, value: float | None) -> bool:
        return self.violation(value) > 0

    def __str__(self) -> str:
        return f"{self.figure} {'>=' if self.sense == 'min' else '<='} {self.bound:g}"


def bound_fault(figure: str, bound: float) -> str | None:
    """Why a bound cannot be satisfied, or cannot be violated; None for a valid one."""
    row = FIGURES[figure]
    if row.fraction:
        if 0 <= bound <= 1:
            return None
        meant = f", such as {bound / 100:g}" if 1 < bound <= 100 else ""
        return f"{bound:g}: {figure} is a fraction; give a number from 0 to 1{meant}"
    if bound < 0 or (bound == 0 and not row.may_be_zero):
        return f"{bound:g}: {figure} is always above 0; give a number above 0"
    return None


def constraints_from(bounds: Mapping[str, float | None]) -> tuple[Constraint, ...]:
    """Constraints of named bounds, e.g. `{"min_fps": 30, "max_params": None}`: one."""
    return tuple(
        Constraint.model_validate({"figure": figure, "sense": sense, "bound": bound})
        for name, bound in bounds.items()
        for sense, _, figure in (name.partition("_"),)
        if bound is not None
    )


def figures_of(
    objectives: Sequence[FigureName], constraints: Sequence[Constraint]
) -> tuple[FigureName, ...]:
    """The figures of objectives and constraints, each once."""
    return tuple(dict.fromkeys([*objectives, *(c.figure for c in constraints)]))


def parse_count(text: str) -> float:
    """A number that may end in k, M or G, e.g. `10M`.

    Raises:
        ValueError: it is not such a number, or not above 0.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kMG]?)\s*", text)
    value = float(found[1]) * UNITS[found[2]] if found else math.nan
    if not 0 < value < math.inf:
        raise InputError(f"{text!r}: give a number above 0, such as 500k, 10M or 1.5G")
    return value
