"""The modules of a neck: one for each kind of step."""

from __future__ import annotations

from collections import Counter

from torch import nn

from detectors.building import module_for
from detectors.necks.deconvolution import DeconvolveStep
from detectors.necks.dual_path import JoinStep, SplitStep
from detectors.necks.fusion import FuseStep
from detectors.necks.growth import ExtendStep, L2NormStep
from detectors.necks.top_down import AggregateStep, PyramidStep
from searchspace import necks as config
from searchspace.geometry import Levels

__all__ = [
    "AggregateStep",
    "DeconvolveStep",
    "ExtendStep",
    "FuseStep",
    "JoinStep",
    "L2NormStep",
    "PyramidStep",
    "SplitStep",
    "build_neck",
]


def build_neck(
    steps: tuple[config.Step, ...], stages: tuple[Levels, ...], width: float
) -> nn.Sequential:
    """The modules of the steps in order; `stages[k]` are the input levels of step k.

    A step is named by its kind and its number among those of that kind (`extend1`), so that weights
    fit independently of other steps.
    """
    neck, seen = nn.Sequential(), Counter[str]()
    for step, before in zip(steps, stages, strict=False):
        seen[step.kind] += 1
        neck.add_module(f"{step.kind}{seen[step.kind]}", module_for(step)(step, before, width))
    return neck
