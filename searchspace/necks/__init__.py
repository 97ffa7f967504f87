"""Steps of a neck. Each declares its output levels for given input levels."""

from __future__ import annotations

from typing import Annotated

from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.necks.step import NeckStep
from searchspace.necks.top_down import Aggregate, Pyramid
from searchspace.registry import Registry

NECK_STEPS = Registry[NeckStep](
    "neck step", L2Norm, Extend, Fuse, Deconvolve, Join, Split, Pyramid, Aggregate
)

Step = Annotated[NeckStep, NECK_STEPS]
"""Any registered step."""

__all__ = [
    "NECK_STEPS",
    "Aggregate",
    "Deconvolve",
    "Extend",
    "Fuse",
    "FusionBlock",
    "Growth",
    "Join",
    "L2Norm",
    "NeckStep",
    "Pyramid",
    "Source",
    "Split",
    "Step",
]
