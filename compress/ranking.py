"""From scores to the channels to remove: thresholds, floors and rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.channels import ChannelGraph
from compress.criteria import Pruning, Scores, prunable
from searchspace.errors import InputError

MIN_CHANNELS = 8
"""Channels that every layer keeps."""

Removed = Mapping[str, Sequence[int]]
"""By convolution, the output channels to remove, as indices in the detector before pruning."""


@dataclass(frozen=True)
class Layer:
    """The limits on removing output channels of a convolution.

    Attributes:
        root: name of the convolution.
        count: number of its output channels.
        least: number of channels to keep, whatever their scores.
        multiple: the number of channels kept is a multiple of this.
        parts: groups of a group norm; the same number of channels is removed from each.
    """

    root: str
    count: int
    least: int
    multiple: int = 1
    parts: int = 1

    def gone(self, below: int) -> int:
        """Number of channels to remove when `below` of them are below the threshold."""
        kept = max(self.count - below, self.least)
        return self.count - min(self.count, math.ceil(kept / self.multiple) * self.multiple)

    def lowest(self, scores: Tensor, gone: int) -> list[int]:
        """The `gone` channels with the lowest `scores` [C], the same number from every part."""
        order = scores.view(self.parts, -1).argsort(dim=1, stable=True)[:, : gone // self.parts]
        offsets = torch.arange(self.parts)[:, None] * (self.count // self.parts)
        return sorted((order + offsets).flatten().tolist())


def layers(graph: ChannelGraph, config: Pruning) -> tuple[list[Layer], dict[str, str]]:
    """The layers that can be pruned, and the reasons why the others cannot.

    Raises:
        ValueError: a layer is narrower than `config.round_to`, or no layer can be pruned.
    """
    judged, reasons = prunable(graph, config)
    reasons = graph.fixed | reasons
    found = []
    for root in judged:
        layer, why_not = _layer(graph, root, config)
        if why_not is None:
            found.append(layer)
        else:
            reasons |= graph.named(root, why_not)
    if not found:
        raise InputError(
            f"compress.pruning.{config.kind}: nothing can be pruned in this detector ("
            + "; ".join(dict.fromkeys(reasons.values()))
            + "): set norm of its backbone or neck steps, lower floor, or set pruning to none"
        )
    return found, reasons


def _layer(graph: ChannelGraph, root: str, config: Pruning) -> tuple[Layer, str | None]:
    count = graph.count(root)
    if config.round_to > count:
        raise InputError(
            f"compress.pruning.{config.kind}.round_to is {config.round_to}, but {root} has "
            f"{count} channels: use {count} or less"
        )
    norms = [item for item in graph.groups[root] if isinstance(item.dep.layer, nn.GroupNorm)]
    parts = math.lcm(*(item.dep.layer.num_groups for item in norms))
    layer = Layer(
        root,
        count,
        least=min(count, max(MIN_CHANNELS, round(config.floor * count))),
        multiple=math.lcm(config.round_to, parts),
        parts=parts,
    )
    if any(item.idxs != list(range(item.dep.layer.num_channels)) for item in norms):
        return layer, "a group norm combines its outputs with others"
    if not layer.gone(count):
        return layer, f"all of its {count} channels must be kept"
    return layer, None


@dataclass(frozen=True)
class Ranking:
    """All channels of all layers ordered by score, and the channels removed at each cut.

    Attributes:
        scores: channels that are removed already have -inf.
        by_layer: whether every layer loses the same share; otherwise one threshold holds for all.
    """

    layers: Sequence[Layer]
    scores: Scores
    by_layer: bool

    @property
    def size(self) -> int:
        """Number of channels in the ranking."""
        return sum(layer.count for layer in self.layers)

    def removed(self, cut: int) -> dict[str, list[int]]:
        """The channels to remove when the `cut` lowest scores are below the threshold."""
        found = {
            layer.root: layer.lowest(self.scores[layer.root], layer.gone(below))
            for layer, below in zip(self.layers, self._below(cut), strict=True)
        }
        return {root: gone for root, gone in found.items() if gone}

    def _below(self, cut: int) -> list[int]:
        """For each layer, the number of its channels below the threshold."""
        if self.by_layer:
            return [cut * layer.count // self.size for layer in self.layers]
        all_scores = torch.cat([self.scores[layer.root] for layer in self.layers])
        ranks = torch.empty(self.size, dtype=torch.long)
        ranks[all_scores.argsort(stable=True)] = torch.arange(self.size)
        parts = ranks.split([layer.count for layer in self.layers])
        return [int((part < cut).sum()) for part in parts]
