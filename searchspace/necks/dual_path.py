"""Steps of dual-path detectors: joining a map of the second path, or growing from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from searchspace.geometry import (
    Levels,
    shown,
)
from searchspace.necks.levels import Index, chosen, chosen_side
from searchspace.necks.step import NECK_STEPS, NeckStep


@NECK_STEPS.register
class Join(NeckStep):
    """Concatenate a map of the second path to a level (dual path, section 4: `C`).

    Attributes:
        level: the level that gets more channels.
        side: index of the second path's map.
        feeds_growth: whether growth continues from the joined map.
    """

    kind: Literal["join"] = "join"
    level: Index
    side: Index
    feeds_growth: bool = False

    def levels(self, before: Levels, width: float) -> Levels:
        own, side = chosen(before.maps, self.level), chosen_side(before, self.side)
        if own.size != side.size:
            sizes = ", ".join(shown(level.size) for level in before.side)
            raise ValueError(
                f"level {self.level} has {shown(own.size)} cells and side map {self.side} "
                f"{shown(side.size)}: join maps of equal size; the second path has {sizes}"
            )
        joined = own.with_channels(own.channels + side.channels)
        top = joined if self.feeds_growth else before.top
        return replace(before.with_map(self.level, joined), top=top)

    @property
    def reads_side(self) -> bool:
        return True

    def in_words(self) -> str:
        return f"second path joined at level {self.level}"


@NECK_STEPS.register
class Split(NeckStep):
    """Continue growth from a map of the second path (dual path, section 4: `S`)."""

    kind: Literal["split"] = "split"
    side: Index

    def levels(self, before: Levels, width: float) -> Levels:
        return replace(before, top=chosen_side(before, self.side))

    @property
    def reads_side(self) -> bool:
        return True

    @property
    def only_sets_top(self) -> bool:
        return True

    def in_words(self) -> str:
        return "growth from the second path"
