"""The use of the second path of a backbone with eliminated strides in SSD's neck.

The path begins after the first eliminated stride, and its maps have half the cells per side of
those of the first path.
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
        """The steps before growth."""
        return ()

    def after(self, backbone: Backbone) -> tuple[Step, ...]:
        """The steps after growth."""
        return ()


class DualPathConcat(Config):
    """The second path's map of the same size is joined to the last tap; growth continues from both.

    Attributes:
        grown: whether the last map of the second path is joined to the first grown map too.
    """

    kind: Literal["concat"] = "concat"
    grown: Annotated[bool, Choice(False, True)] = False

    def before(self, backbone: Backbone) -> tuple[Step, ...]:
        side = max(backbone.side_taps() - 2, 0)
        return (Join(level=len(backbone.taps) - 1, side=side, feeds_growth=True),)

    def after(self, backbone: Backbone) -> tuple[Step, ...]:
        side = max(backbone.side_taps() - 1, 0)
        return (Join(level=len(backbone.taps), side=side),) if self.grown else ()


class DualPathSplit(Config):
    """Growth continues from the last map of the second path; the taps are unchanged."""

    kind: Literal["split"] = "split"

    def before(self, backbone: Backbone) -> tuple[Step, ...]:
        return (Split(side=max(backbone.side_taps() - 1, 0)),)

    def after(self, backbone: Backbone) -> tuple[Step, ...]:
        return ()


DualPath = NoDualPath | DualPathConcat | DualPathSplit


def dual_path_of(steps: tuple[Step, ...]) -> DualPath:
    """The use of a second path in these steps."""
    if any(isinstance(step, Split) for step in steps):
        return DualPathSplit()
    joins = sum(isinstance(step, Join) for step in steps)
    return DualPathConcat(grown=joins > 1) if joins else NoDualPath()
