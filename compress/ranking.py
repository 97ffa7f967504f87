"""From scores of channels to the channels that go: thresholds, floors and rounding."""

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
"""By convolution, the output channels that go, counted as in the detector before any pruning."""


@dataclass(frozen=True)
class Layer:
    """How many of the output channels of a convolution may go.

    Attributes:
        root: its name.
        count: its channels.
        least: how many stay whatever they are worth.
        multiple: what number of channels is kept a multiple of.
        parts: groups of a group norm; as many go from each.
    """

    root: str
    count: int
    least: int
    multiple: int = 1
    parts: int = 1

    def gone(self, below: int) -> int:
        """How many channels go when `below` of them are worth too little to stay."""
        kept = max(self.count - below, self.least)
        return self.count - min(self.count, math.ceil(kept / self.multiple) * self.multiple)

    def lowest(self, scores: Tensor, gone: int) -> list[int]:
        """The `gone` channels of least score, as many of every part."""
        order = scores.view(self.parts, -1).argsort(dim=1, stable=True)[:, : gone // self.parts]
        offsets = torch.arange(self.parts)[:, None] * (self.count // self.parts)
        return sorted((order + offsets).flatten().tolist())


def layers(graph: ChannelGraph, config: Pruning) -> tuple[list[Layer], dict[str, str]]:
    """The layers that may lose channels, and why the others may not.

    Raises:
        ValueError: a layer is narrower than `config.round_to`, or no layer may lose any.
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
            f"compress.pruning.{config.kind}: no channel of this detector may go ("
            + "; ".join(dict.fromkeys(reasons.values()))
            + "): set norm of its backbone or of steps of its neck, lower floor, or set pruning "
            "to none"
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
        return layer, "a group norm takes its outputs together with others"
    if not layer.gone(count):
        return layer, f"all of its {count} channels stay: no fewer may be left"
    return layer, None


@dataclass(frozen=True)
class Ranking:
    """Every channel of every layer in order of its score, and what goes at which cut.

    Attributes:
        scores: those of channels that have gone already are -inf.
        by_layer: whether every layer loses the same share, instead of what a threshold for all
            of them cuts.
    """

    layers: Sequence[Layer]
    scores: Scores
    by_layer: bool

    @property
    def size(self) -> int:
        """How many channels there are to cut."""
        return sum(layer.count for layer in self.layers)

    def removed(self, cut: int) -> dict[str, list[int]]:
        """What goes when the `cut` channels of least score are worth too little to stay."""
        found = {
            layer.root: layer.lowest(self.scores[layer.root], layer.gone(below))
            for layer, below in zip(self.layers, self._below(cut), strict=True)
        }
        return {root: gone for root, gone in found.items() if gone}

    def _below(self, cut: int) -> list[int]:
        """How many channels of each layer are among those that are worth too little."""
        if self.by_layer:
            return [cut * layer.count // self.size for layer in self.layers]
        all_scores = torch.cat([self.scores[layer.root] for layer in self.layers])
        ranks = torch.empty(self.size, dtype=torch.long)
        ranks[all_scores.argsort(stable=True)] = torch.arange(self.size)
        parts = ranks.split([layer.count for layer in self.layers])
        return [int((part < cut).sum()) for part in parts]
