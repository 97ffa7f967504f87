"""Network slimming: an L1 penalty on the batch-norm scales that can silence channels."""

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
class Scales:
    """Scales of a batch norm that can silence channels of a group.

    Attributes:
        name: name of the batch norm.
        channels: channels of the batch norm.
        roots: for each of them, the channel of the group that it silences.
    """

    name: str
    channels: list[int]
    roots: list[int]


def slimming_scales(detector: Detector) -> dict[str, list[int]]:
    """The scales that decide which channels are pruned: batch norms by name, with their channels.

    Of several batch norms in series, only the last one before the next dense convolution counts: a
    zero in an earlier one becomes a constant when the later one subtracts its mean. For a fused map
    this is the norm after the fusion, for a separable block the one after the depthwise
    convolution, and for a sum there is one in every branch.
    """
    graph = ChannelGraph(detector)
    found: dict[str, set[int]] = {}
    for root in graph.groups:
        for norm in group_scales(graph, root):
            found.setdefault(norm.name, set()).update(norm.channels)
    return {name: sorted(channels) for name, channels in found.items()}


def group_scales(graph: ChannelGraph, root: str) -> list[Scales]:
    """The deciding scales of a group; empty if scales of zero would not silence its channels."""
    return [] if why_unscaled(graph, root) else list(_last_norms(graph, root))


def why_unscaled(graph: ChannelGraph, root: str) -> str | None:
    """Why a group cannot be silenced by batch-norm scales; None if it can."""
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
    return f"no batch norm scales the outputs of {bare[0]}, which are pruned together with it"


def _last_norms(graph: ChannelGraph, root: str) -> Iterator[Scales]:
    for item in graph.groups[root]:
        norm = item.dep.layer
        if isinstance(norm, nn.BatchNorm2d) and any(
            layer is None or is_dense(layer) for layer in graph.next_layers(norm)
        ):
            yield Scales(graph.names[norm], item.idxs, item.root_idxs)


def _norm(detector: Detector, name: str) -> nn.BatchNorm2d:
    norm = detector.get_submodule(name)
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"{name} is a {type(norm).__name__}, not a batch norm")
    return norm


def largest_scales(graph: ChannelGraph, root: str) -> Tensor:
    """The largest deciding |scale| of each channel, [C]: a channel is removed if all are small."""
    scales = torch.zeros(graph.count(root))
    for found in group_scales(graph, root):
        weight = _norm(graph.detector, found.name).weight.detach().float().cpu().abs()
        scales.scatter_reduce_(0, torch.tensor(found.roots), weight[found.channels], "amax")
    return scales


def sparsity_term(detector: Detector, strength: float) -> Term:
    """`strength` times the sum of |scale| over `slimming_scales` (Liu et al. 2017, equation 1).

    Its gradient is strength * sign(scale), the subgradient of the L1 norm. The detector must be on
    the device on which it is trained.
    """
    deciding = slimming_scales(detector)
    norms = [(_norm(detector, name), channels) for name, channels in deciding.items()]
    # Indices from Python would be copied to a GPU, and waited for, in every step.
    found = [(norm, torch.tensor(channels, device=norm.weight.device)) for norm, channels in norms]

    def term(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        scales = [norm.weight.index_select(0, channels) for norm, channels in found]
        return {"sparsity": strength * torch.cat(scales).abs().sum()}

    return term
