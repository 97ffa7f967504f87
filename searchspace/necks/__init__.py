"""Steps of a neck. Each declares its output levels for given input levels."""

from __future__ import annotations

from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.necks.step import NECK_STEPS, NeckStep, Step
from searchspace.necks.top_down import Aggregate, Pyramid

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
