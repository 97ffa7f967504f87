"""Choice of maps by a neck step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from searchspace.geometry import (
    Level,
    Levels,
)

Index = Annotated[int, Field(ge=0)]


def chosen(maps: Sequence[Level], index: int, what: str = "level") -> Level:
    """Map `index`; raises ValueError if there are not as many."""
    if index >= len(maps):
        raise ValueError(
            f"{what} {index} of {len(maps)} maps: count from 0, or tap the backbone at more rows"
        )
    return maps[index]


def chosen_side(before: Levels, index: int) -> Level:
    """Map `index` of the second path; raises ValueError if there is none."""
    if not before.side:
        raise ValueError("there are no side maps: set second_path of the backbone")
    return chosen(before.side, index, "side: map")
