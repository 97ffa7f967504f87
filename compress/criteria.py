"""Pruning criteria: a score for each channel of each group; the lowest are removed first."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
import torch_pruning as tp
from torch import Tensor

from compress.channels import ChannelGraph
from compress.slimming import largest_scales, why_unscaled
from detectors.data.loader import Batch
from detectors.detector import Detector, padded_objects
from detectors.features import size_of
from searchspace.compression import ImportancePruning, Slimming
from searchspace.errors import InputError

Pruning = Slimming | ImportancePruning
Scores = dict[str, Tensor]
"""By group, a score for each of its channels, [C]."""

Batches = Callable[[], Iterable[Batch]]
"""Returns the training batches for gradients, the same ones at each call."""


def prunable(graph: ChannelGraph, config: Pruning) -> tuple[list[str], dict[str, str]]:
    """The groups that a criterion can score, and the reasons why it cannot score the others."""
    if not isinstance(config, Slimming):
        return list(graph.groups), {}
    judged, reasons = [], {}
    for root in graph.groups:
        reason = why_unscaled(graph, root)
        if reason is None:
            judged.append(root)
        else:
            reasons |= graph.named(root, reason)
    return judged, reasons


def scores(
    detector: Detector, graph: ChannelGraph, config: Pruning, batches: Batches | None, seed: int
) -> Scores:
    """The scores of every group that the criterion can score.

    Raises:
        ValueError: `taylor` without batches, or a score that is not finite.
    """
    roots, _ = prunable(graph, config)
    if isinstance(config, Slimming):
        found = {root: largest_scales(graph, root) for root in roots}
    else:
        found = CRITERIA[config.criterion](detector, graph, batches, seed)
    for root, values in found.items():
        if not values.isfinite().all():
            raise InputError(f"{root}: the scores of its channels are not finite")
    return found


def _l2(detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int) -> Scores:
    """Sum of squares of all weights of a channel, relative to its group's mean (DepGraph)."""
    return _by(tp.importance.GroupMagnitudeImportance(p=2), graph)


def _lamp(detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int) -> Scores:
    """Sum of squares as a share of the sum over channels no smaller (LAMP, equation 4)."""
    return _by(tp.importance.LAMPImportance(p=2), graph)


def _taylor(detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int) -> Scores:
    """Mean over batches of |weight * gradient|, over all weights of a channel.

    The gradient is that of the detection loss, with small objects weighted like all others
    (Molchanov et al., Importance Estimation for Neural Network Pruning, 2019, equation 8, without
    the square).
    """
    if batches is None:
        raise InputError(
            "compress.pruning.importance.criterion 'taylor' needs gradients: give batches"
        )
    # torch-pruning's own Taylor score skips batch norms and misorders indices; the magnitude of the
    # products is the same score without these flaws.
    weighed = _weighed(detector, batches)
    return _by(tp.importance.GroupMagnitudeImportance(p=1, normalizer=None), ChannelGraph(weighed))


def _random(detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int) -> Scores:
    """The control: every criterion should do better."""
    generator = torch.Generator().manual_seed(seed)
    return {root: torch.rand(graph.count(root), generator=generator) for root in graph.groups}


CRITERIA = {"l2": _l2, "lamp": _lamp, "taylor": _taylor, "random": _random}


def _by(importance: tp.importance.Importance, graph: ChannelGraph) -> Scores:
    return {root: importance(g).detach().float().cpu() for root, g in graph.groups.items()}


@torch.enable_grad()
def _weighed(detector: Detector, batches: Batches) -> Detector:
    """A copy whose every weight is the mean over batches of |weight * gradient|."""
    weighed = copy.deepcopy(detector).eval().requires_grad_()
    sums = [torch.zeros_like(p) for p in weighed.parameters()]
    count = 0
    for batch in batches():
        weighed.zero_grad(set_to_none=True)
        _loss(weighed, batch).backward()
        for total, p in zip(sums, weighed.parameters(), strict=True):
            if p.grad is not None:
                total += (p.detach() * p.grad).abs()
        count += 1
    if not count:
        raise InputError("compress.pruning.importance.criterion 'taylor': there is no batch")
    with torch.no_grad():
        for total, p in zip(sums, weighed.parameters(), strict=True):
            p.copy_(total / count)
    weighed.zero_grad(set_to_none=True)
    return weighed


def _loss(detector: Detector, batch: Batch) -> Tensor:
    images = batch.images.to(detector.device).float() / 255
    sides = [size_of(image) for image in images]
    objects = padded_objects(batch.targets, sides, size_of(images)).to(detector.device)
    return torch.stack(list(detector.losses(detector.outputs(images), objects).values())).sum()
