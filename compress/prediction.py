"""The cost of a trial's detector, predicted before anything is trained."""

from __future__ import annotations

from collections.abc import Callable

import torch

from compress.criteria import Pruning
from compress.plan import Plan, replay
from compress.pruning import prune
from compress.targets import brief
from detectors.detector import Detector
from detectors.timing.cost import Cost
from searchspace.compression import ImportancePruning, Unpruned
from searchspace.measuring import MeasureConfig
from searchspace.trial import TrialConfig

Measure = Callable[[Detector, MeasureConfig], Cost]


def predict_cost(config: TrialConfig, measure: Measure, plan: Plan | None = None) -> Cost:
    """Measure an untrained network of the size that is planned for a trial's detector.

    Frames per second depend on architecture and widths, and post-processing gets
    `config.measure.candidates` boxes whatever the weights. It is not known yet which layers will
    lose channels, so each loses the planned share here; this is the error of the prediction.

    Args:
        plan: the channels that the detector does not have from the beginning.

    Raises:
        ValueError: the detector cannot be pruned as planned.
        RuntimeUnavailable: the form that the configuration names is not available here.
    """
    return measure(planned_detector(config, measure, plan), config.deployment)


def planned_detector(config: TrialConfig, measure: Measure, plan: Plan | None = None) -> Detector:
    """A detector with random weights, each of whose layers has lost the planned share of channels.

    Args:
        measure: used if the plan is a share of the latency.
        plan: the channels that it does not have from the beginning.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        detector = Detector(config.detector).eval()
        if plan is not None:
            replay(detector, plan)
        pruning = config.compress.pruning
        if not isinstance(pruning, Unpruned):
            how = brief(config.deployment)
            prune(detector, _even(pruning), fps=lambda pruned: measure(pruned, how).fps)
    return detector


def _even(pruning: Pruning) -> Pruning:
    """The same pruning with an equal share of every layer, whatever the channels' scores."""
    changes: dict[str, object] = {"scope": "layer"}
    if isinstance(pruning, ImportancePruning):
        changes |= {"criterion": "random", "steps": 1}
    return pruning.model_copy(update=changes)
