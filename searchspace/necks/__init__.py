"""Steps of a neck. Each takes the levels it is given and says what levels it leaves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.necks.top_down import Aggregate, Pyramid

Step = Annotated[
    L2Norm | Extend | Fuse | Deconvolve | Join | Split | Pyramid | Aggregate,
    Field(discriminator="kind"),
]

__all__ = [
    "Aggregate",
    "Deconvolve",
    "Extend",
    "Fuse",
    "FusionBlock",
    "Growth",
    "Join",
    "L2Norm",
    "Pyramid",
    "Source",
    "Split",
    "Step",
]
