"""Network slimming: batch-norm scales as gates of channels, and an L1 penalty on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.channels import ChannelGraph, is_dense
from detectors.detector import Detector
from detectors.features import Outputs
from detectors.training.train import Term


@dataclass(frozen=True)
class Gate:
    """Channels of a batch norm whose scales decide over channels of a group.

    Attributes:
        name: the batch norm's.
        channels: its channels.
        roots: the group's channel that each of them decides over.
    """

    name: str
    channels: list[int]
    roots: list[int]


def gates(detector: Detector) -> dict[str, list[int]]:
    """The batch norms whose scales decide which channels go, by name, and which scales those are.

    Of batch norms in series the last one before the next dense convolution is the gate: behind a
    zero in an earlier one, the mean that a later one subtracts leaves a constant. So the gate of a
    fused map is the norm behind the fusion, that of a separable block the one behind the depthwise
    convolution, and every branch of a sum has its own.
    """
    graph = ChannelGraph(detector)
    found: dict[str, set[int]] = {}
    for root in graph.groups:
        for gate in group_gates(graph, root):
            found.setdefault(gate.name, set()).update(gate.channels)
    return {name: sorted(channels) for name, channels in found.items()}


def group_gates(graph: ChannelGraph, root: str) -> list[Gate]:
    """The gates of a group; none where scales of zero would not silence its channels."""
    return [] if ungated(graph, root) else list(_last_norms(graph, root))


def ungated(graph: ChannelGraph, root: str) -> str | None:
    """Why a group cannot be silenced by batch-norm scales; None where it can."""
    bare = [
        graph.names[maker]
        for maker in graph.makers(root)
        if (is_dense(maker) or maker.bias is not None)
        and any(layer is None or is_dense(layer) for layer in graph.next_layers(maker))
    ]
    if not bare:
        return None
    if not any(_last_norms(graph, root)):
        return "no batch norm scales its outputs"
    return f"no batch norm scales the outputs of {bare[0]}, which go with its own"


def _last_norms(graph: ChannelGraph, root: str) -> Iterator[Gate]:
    for item in graph.groups[root]:
        norm = item.dep.layer
        if isinstance(norm, nn.BatchNorm2d) and any(
            layer is None or is_dense(layer) for layer in graph.next_layers(norm)
        ):
            yield Gate(graph.names[norm], item.idxs, item.root_idxs)


def _norm(detector: Detector, name: str) -> nn.BatchNorm2d:
    norm = detector.get_submodule(name)
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"{name} is a {type(norm).__name__}, not a batch norm")
    return norm


def gate_scales(graph: ChannelGraph, root: str) -> Tensor:
    """The largest |scale| of each channel's gates, [C]: the channel goes when all are small."""
    scales = torch.zeros(graph.count(root))
    for gate in group_gates(graph, root):
        weight = _norm(graph.detector, gate.name).weight.detach().float().cpu().abs()
        scales.scatter_reduce_(0, torch.tensor(gate.roots), weight[gate.channels], "amax")
    return scales


def sparsity_term(detector: Detector, strength: float) -> Term:
    """`strength` times the sum of |scale| over the gates (network slimming, equation 1).

    Its gradient is strength * sign(scale), the subgradient of the L1 norm.
    """
    found = [(_norm(detector, name), channels) for name, channels in gates(detector).items()]

    def term(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        scales = [
            norm.weight if len(channels) == norm.num_features else norm.weight[channels]
            for norm, channels in found
        ]
        return {"sparsity": strength * torch.cat(scales).abs().sum()}

    return term
