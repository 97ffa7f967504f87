"""Channel pruning: to a share of the channels, parameters, MACs or latency."""

from __future__ import annotations

import copy

import torch

from compress.channels import ChannelGraph
from compress.criteria import Batches, Pruning, Scores, scores
from compress.plan import Plan, Size, remove, replay
from compress.ranking import Layer, Ranking, Removed, layers
from compress.targets import (
    COUNTS,
    Fps,
    Target,
    configured_target,
    given_target,
    nearest_cut,
)
from detectors.describe import skeleton
from detectors.detector import Detector
from searchspace.compression import ImportancePruning
from searchspace.detector import DetectorConfig
from searchspace.errors import InputError


def prune(
    detector: Detector,
    config: Pruning,
    *,
    target_params: float | None = None,
    target_macs: float | None = None,
    target_fps: float | None = None,
    batches: Batches | None = None,
    fps: Fps | None = None,
    seed: int = 0,
) -> Plan:
    """Remove the channels of lowest score, in place.

    One threshold cuts `config.ratio` of all prunable channels, or as many as the target needs; each
    layer keeps at least 8 channels and a share `config.floor` (network slimming, section 3).

    Args:
        target_params, target_macs: parameters or MACs after pruning, as a count or as a share;
            replaces `config.target` and `config.ratio`.
        target_fps: frames per second to reach, likewise.
        batches: returns the training batches for the gradients of the `taylor` criterion.
        fps: measures frames per second; by default as `detectors.timing.measure` does.
        seed: of the `random` criterion.

    Raises:
        ValueError: nothing can be pruned, a layer is narrower than `config.round_to`, or the target
            cannot be met within 0.5 % (for frames per second: within the differences between
            measurements of one detector, if larger); the message says what can be reached.
    """
    target = given_target(detector, target_params, target_macs, target_fps, fps)
    plan = plan_pruning(detector, config, target, batches=batches, fps=fps, seed=seed)
    replay(detector, plan)
    return plan


def plan_pruning(
    detector: Detector,
    config: Pruning,
    target: Target | None = None,
    *,
    batches: Batches | None = None,
    fps: Fps | None = None,
    seed: int = 0,
) -> Plan:
    """Decide which channels `prune` removes, without changing the detector.

    Args:
        target: replaces `config.target` and `config.ratio`.
    """
    may_lose, unprunable = layers(ChannelGraph(detector), config)
    target = target or configured_target(detector, config, fps)
    steps = config.steps if isinstance(config, ImportancePruning) else 1
    removed: Removed = {}
    for step in range(1, steps + 1):
        left = _without(detector, removed)
        found = scores(left, ChannelGraph(left), config, batches, seed)
        ranking = Ranking(may_lose, _placed(found, may_lose, removed), config.scope == "layer")
        if target is None:
            removed = ranking.removed(int(config.ratio * ranking.size * step / steps))
        else:
            removed = _towards(target, step / steps, detector, ranking, removed)
    return Plan(
        removed={root: tuple(gone) for root, gone in removed.items()},
        channels={layer.root: layer.count for layer in may_lose},
        unprunable=unprunable,
        before=Size.of(detector),
        after=Size.of(_without(skeleton(detector), removed)),
    )


def check_pruning(config: DetectorConfig, pruning: Pruning) -> None:
    """Raise `ValueError` if a detector of this configuration cannot be pruned as configured.

    Nothing is trained: the prunable channels do not depend on weights, nor does the size of the
    detector when every layer is at its floor. Frames per second are not checked.
    """
    detector = skeleton(config)
    may_lose, _ = layers(ChannelGraph(detector), pruning)
    if pruning.target in COUNTS and (target := configured_target(detector, pruning, fps=None)):
        ranking = Ranking(may_lose, {x.root: torch.zeros(x.count) for x in may_lose}, False)
        smallest = target.of(_without(detector, ranking.removed(ranking.size)))
        if smallest > target.goal * (1 + target.tolerance):
            raise _unreachable(target, smallest)


def _towards(
    target: Target, part: float, detector: Detector, ranking: Ranking, removed: Removed
) -> Removed:
    """The channels to remove for a part, in 0..1, of the way to the target."""
    whole = detector if target.measured else skeleton(detector)
    cut, reached = nearest_cut(
        lambda cut: target.of(_without(whole, ranking.removed(cut))),
        low=sum(map(len, removed.values())),
        high=ranking.size,
        goal=target.between(part),
        close=target.close,
    )
    if part == 1 and not target.meets(reached):
        raise _unreachable(target, reached)
    return ranking.removed(cut)


def _unreachable(target: Target, nearest: float) -> InputError:
    return InputError(
        f"{target.name}: {target.show(target.goal)} cannot be reached; the closest possible is "
        f"{target.show(nearest)}, from {target.show(target.start)} before pruning. Aim there, or "
        "lower floor or round_to of compress.pruning"
    )


def _without(detector: Detector, removed: Removed) -> Detector:
    """A copy of a detector without some of its channels."""
    copied = copy.deepcopy(detector)
    remove(ChannelGraph(copied), removed)
    return copied


def _placed(found: Scores, may_lose: list[Layer], removed: Removed) -> Scores:
    """The scores of the remaining channels, at their positions before any pruning."""
    placed = {}
    for layer in may_lose:
        left = torch.ones(layer.count, dtype=torch.bool)
        left[list(removed.get(layer.root, ()))] = False
        placed[layer.root] = torch.full((layer.count,), -torch.inf)
        placed[layer.root][left] = found[layer.root]
    return placed
