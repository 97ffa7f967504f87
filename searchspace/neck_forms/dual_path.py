"""What the second path of a backbone with eliminated strides gives to SSD's neck.

The path begins behind the first stride that was eliminated, and its maps have half the cells a side
of those of the first path.
"""

from __future__ import annotations

from typing import Annotated, Literal

from searchspace.backbones import Backbone
from searchspace.config import Config
from searchspace.domains import Choice
from searchspace.necks import Step
from searchspace.necks.dual_path import Join, Split


class NoDualPath(Config):
    """No second path."""

    kind: Literal["none"] = "none"

    def before(self, backbone: Backbone) -> tuple[Step, ...]:
        """What comes in front of growth."""
        return ()

    def behind(self, backbone: Backbone) -> tuple[Step, ...]:
        """What comes behind it."""
        return ()


class DualPathConcat(Config):
    """The last tap is joined by the second path's map of its size; growth goes on from both.

    Attributes:
        grown: the first grown map is joined too, by the last one of the second path.
    """

    kind: Literal["concat"] = "concat"
    grown: Annotated[bool, Choice(False, True)] = False

    def before(self, backbone: Backbone) -> tuple[Step, ...]:
        side = max(backbone.side_taps() - 2, 0)
        return (Join(level=len(backbone.taps) - 1, side=side, feeds_growth=True),)

    def behind(self, backbone: Backbone) -> tuple[Step, ...]:
        side = max(backbone.side_taps() - 1, 0)
        return (Join(level=len(backbone.taps), side=side),) if self.grown else ()


class DualPathSplit(Config):
    """Growth goes on from the last map of the second path, and the taps stay as they are."""

    kind: Literal["split"] = "split"

    def before(self, backbone: Backbone) -> tuple[Step, ...]:
        return (Split(side=max(backbone.side_taps() - 1, 0)),)

    def behind(self, backbone: Backbone) -> tuple[Step, ...]:
        return ()


DualPath = NoDualPath | DualPathConcat | DualPathSplit


def dual_path_of(steps: tuple[Step, ...]) -> DualPath:
    """What of a second path steps read."""
    if any(isinstance(step, Split) for step in steps):
        return DualPathSplit()
    joins = sum(isinstance(step, Join) for step in steps)
    return DualPathConcat(grown=joins > 1) if joins else NoDualPath()
