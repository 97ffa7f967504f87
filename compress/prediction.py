"""What a trial's detector will cost, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable

import torch

from compress.criteria import Pruning
from compress.pruning import prune
from detectors.detector import Detector
from detectors.timing.cost import Cost
from detectors.timing.measure import measure
from detectors.timing.store import SpeedStore
from searchspace.compression import ImportancePruning, Unpruned
from searchspace.measuring import MeasureConfig
from searchspace.trial import TrialConfig

BRIEF_PASSES = 3
"""Passes of a measurement on the way to a target of latency."""


Measure = Callable[[Detector, MeasureConfig], Cost]


def predict_cost(
    config: TrialConfig, device: torch.device, store: SpeedStore | None = None
) -> Cost:
    """Measure the random network that is as large as a trial's detector is planned to be.

    Frames per second depend on architecture and widths, and post-processing is given
    `config.measure.candidates` boxes whatever the weights. Which layers the channels of a trained
    detector will go from is not known yet, so each loses the planned share here: that is what the
    prediction may be wrong about.

    Raises:
        ValueError: the detector cannot be pruned as planned.
        RuntimeUnavailable: the form that the configuration names cannot be had here.
    """
    return predict_cost_by(config, lambda d, how: measure(d, how, device, store=store))


def predict_cost_by(config: TrialConfig, measure: Measure) -> Cost:
    """`predict_cost` with something else that measures."""
    return measure(planned_detector(config, measure), config.deployment)


def planned_detector(config: TrialConfig, measure: Measure) -> Detector:
    """A detector with random weights whose every layer has lost the planned share of its channels.

    Args:
        measure: used where the plan is a share of the latency.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        detector = Detector(config.detector).eval()
        pruning = config.compress.pruning
        if not isinstance(pruning, Unpruned):
            brief = config.deployment.model_copy(update={"passes": BRIEF_PASSES})
            prune(detector, _even(pruning), fps=lambda pruned: measure(pruned, brief).fps)
    return detector


def _even(pruning: Pruning) -> Pruning:
    """The same pruning with the same share of every layer, whatever its channels are worth."""
    changes: dict[str, object] = {"scope": "layer"}
    if isinstance(pruning, ImportancePruning):
        changes |= {"criterion": "random", "steps": 1}
    return pruning.model_copy(update=changes)
