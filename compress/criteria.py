"""Pruning criteria: a score for each channel of each group; the lowest are removed first."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, TypeVar

import torch
from torch import Tensor

from compress.channels import ChannelGraph
from compress.slimming import largest_scales, why_unscaled
from detectors.data.loader import Batch
from detectors.detector import Detector, padded_objects
from detectors.features import size_of
from searchspace.compression import CRITERIA as NAMED
from searchspace.compression import ImportancePruning, Slimming
from searchspace.errors import InputError
from searchspace.names import Names, check_implemented

if TYPE_CHECKING:
    from torch_pruning.dependency import Group

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
        criterion = CRITERIA[config.criterion]
        if criterion.gradients and batches is None:
            raise InputError(
                f"compress.pruning.importance.criterion {criterion.name!r} needs gradients: give "
                "batches"
            )
        found = criterion.scores(detector, graph, batches, seed)
    for root, values in found.items():
        if not values.isfinite().all():
            raise InputError(f"{root}: the scores of its channels are not finite")
    return found


class Criterion(ABC):
    """What channels are worth; the lowest scores go first.

    A criterion is a class with a name and one method, registered by `@register_criterion`. It can
    then be named by `compress.pruning.importance.criterion`.

    Attributes:
        name: what configurations call it.
        words: what channels are ranked by, as a report says it after "by".
        gradients: whether it needs training batches.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    gradients: ClassVar[bool] = False

    @abstractmethod
    def scores(
        self, detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int
    ) -> Scores:
        """By group of `graph.groups`, a finite score for each of its `graph.count(root)` channels.

        It leaves the detector as it is. Scores are compared with each other across groups unless
        the pruning's `scope` is `layer`.

        Args:
            batches: gives training batches, the same ones at each call; None only where
                `gradients` is False.
            seed: of whatever is drawn.
        """


CRITERIA = Names[Criterion]("criterion")
"""Every criterion by its name."""

C = TypeVar("C", bound=type[Criterion])


def register_criterion(criterion: C) -> C:
    """Class decorator: add a criterion.

    Raises:
        TypeError: the class does not fulfil the contract of `Criterion`.
        ValueError: another criterion has its name.
    """
    check_implemented(f"criterion {criterion.__name__}", criterion, ("name", "words"))
    NAMED.register(criterion.name, criterion.words)
    CRITERIA.register(criterion.name, criterion())
    return criterion


@register_criterion
class L2(Criterion):
    """Sum of squares of all weights of a channel, relative to its group's mean (DepGraph)."""

    name = "l2"
    words = NAMED[name]

    def scores(
        self, detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int
    ) -> Scores:
        from torch_pruning.pruner.importance import GroupMagnitudeImportance  # takes seconds

        return _by(GroupMagnitudeImportance(p=2), graph)


@register_criterion
class Lamp(Criterion):
    """Sum of squares as a share of the sum over channels no smaller (LAMP, equation 4)."""

    name = "lamp"
    words = NAMED[name]

    def scores(
        self, detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int
    ) -> Scores:
        from torch_pruning.pruner.importance import LAMPImportance

        return _by(LAMPImportance(p=2), graph)


@register_criterion
class Taylor(Criterion):
    """Mean over batches of |weight * gradient|, over all weights of a channel.

    The gradient is that of the detection loss, in which small objects weigh as all others do.
    Importance estimation for neural network pruning, equation 8, before its square.
    """

    name = "taylor"
    words = NAMED[name]
    gradients = True

    def scores(
        self, detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int
    ) -> Scores:
        from torch_pruning.pruner.importance import GroupMagnitudeImportance

        # torch-pruning's own Taylor score skips batch norms and misorders indices; the magnitude of
        # the products is the same score without these flaws.
        weighed = ChannelGraph(_weighed(detector, batches or tuple))
        return _by(GroupMagnitudeImportance(p=1, normalizer=None), weighed)


@register_criterion
class Random(Criterion):
    """The control: every criterion should do better."""

    name = "random"
    words = NAMED[name]

    def scores(
        self, detector: Detector, graph: ChannelGraph, batches: Batches | None, seed: int
    ) -> Scores:
        generator = torch.Generator().manual_seed(seed)
        return {root: torch.rand(graph.count(root), generator=generator) for root in graph.groups}


def _by(importance: Callable[[Group], Tensor], graph: ChannelGraph) -> Scores:
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
