"""Groups of channels that can only be removed together, by torch-pruning's dependency graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from torch import nn

from detectors.blocks import L2Norm, is_depthwise
from detectors.detector import Detector
from searchspace.errors import InputError

if TYPE_CHECKING:
    from torch_pruning.dependency import Dependency, Group, Node

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
KNOWN = (*CONVOLUTIONS, nn.BatchNorm2d, nn.GroupNorm, L2Norm)
"""Layers whose tensors can be narrowed along with the channels that pass through them."""


class ChannelGraph:
    """The dependencies between the channels of a detector.

    It is traced with shapes only, without computing anything.

    Attributes:
        groups: by convolution, everything that is removed with its output channels. A map made by
            several convolutions together, such as the sum of a shortcut, is named after the first.
        fixed: convolutions whose output channels can never be removed, with the reason.
    """

    def __init__(self, detector: Detector) -> None:
        from compress.tracing import traced  # here, because only trials that prune need it

        _refuse_unknown(detector)
        self.detector = detector
        self.modules = dict(detector.named_modules())
        self.names = {module: name for name, module in self.modules.items()}
        self._graph = traced(detector)
        self.fixed = dict(self._own_reasons())
        self.groups: dict[str, Group] = {}
        self._find_groups()

    def remove(self, root: str, channels: Sequence[int]) -> None:
        """Remove output channels of a convolution, and everything that depends on them."""
        self.group(root, channels).prune()

    def count(self, root: str) -> int:
        """Number of channels of a group."""
        return convolution(self.modules[root], root).out_channels

    def makers(self, root: str) -> list[nn.Module]:
        """The layers whose outputs are the channels of a group."""
        return [
            dependency.layer
            for dependency, _ in self.groups[root]
            if isinstance(dependency.layer, CONVOLUTIONS) and self.makes(dependency)
        ]

    def next_layers(self, layer: nn.Module) -> Iterator[nn.Module | None]:
        """The dense convolutions and batch norms that a layer's channels reach first.

        None stands for the raw predictions.
        """
        seen: set[Node] = set()
        ahead = list(self._graph.module2node[layer].outputs)
        if not ahead:
            yield None
        while ahead:
            node = ahead.pop()
            if node in seen:
                continue
            seen.add(node)
            if not node.outputs and not is_dense(node.module):
                yield None
            elif is_dense(node.module) or isinstance(node.module, nn.BatchNorm2d):
                yield node.module
            else:
                ahead.extend(node.outputs)

    def named(self, root: str, reason: str) -> dict[str, str]:
        """A reason not to prune a group, for each of the dense convolutions that make it."""
        makers = [self.names[maker] for maker in self.makers(root) if is_dense(maker)]
        return {n: reason if n == root else f"pruned with {root}: {reason}" for n in makers}

    def makes(self, dependency: Dependency) -> bool:
        """Whether a part of a group is output channels of its layer, not channels it reads."""
        return self._graph.is_out_channel_pruning_fn(dependency.pruning_fn)

    def group(self, root: str, channels: Iterable[int]) -> Group:
        """All that goes with some output channels of a convolution."""
        return self._graph.outputs_of(self.modules[root], list(channels))

    def _own_reasons(self) -> Iterator[tuple[str, str]]:
        for name, layer in self.modules.items():
            if not isinstance(layer, CONVOLUTIONS):
                continue
            if layer not in self._graph.module2node:
                yield name, "the predictions do not depend on it"
            elif None in self.next_layers(layer):
                yield name, "its outputs are the predictions"
            elif is_grouped(layer):
                yield name, f"a convolution in {layer.groups} groups"

    def _find_groups(self) -> None:
        placed: set[nn.Module] = set()
        for name, layer in self.modules.items():
            if not is_dense(layer) or layer in placed or name in self.fixed:
                continue
            self.groups[name] = self.group(name, range(self.count(name)))
            makers = self.makers(name)
            placed.update(makers)
            stuck = [
                self.names[layer]
                for layer in dict.fromkeys(dependency.layer for dependency, _ in self.groups[name])
                if self.names.get(layer) in self.fixed and (layer in makers or is_grouped(layer))
            ]
            if stuck:
                del self.groups[name]
                self.fixed |= {
                    self.names[m]: f"pruned with {stuck[0]}: {self.fixed[stuck[0]]}"
                    for m in makers
                    if self.names[m] not in self.fixed
                }


def convolution(layer: nn.Module, name: str) -> nn.Conv2d | nn.ConvTranspose2d:
    """A layer that is a convolution; raises `TypeError` for any other."""
    if not isinstance(layer, CONVOLUTIONS):
        raise TypeError(f"{name} is a {type(layer).__name__}, not a convolution")
    return layer


def is_grouped(layer: nn.Module) -> bool:
    """Whether a convolution mixes channels within groups, which have to stay equal in size."""
    return isinstance(layer, CONVOLUTIONS) and layer.groups > 1 and not is_depthwise(layer)


def is_dense(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that mixes channels."""
    return isinstance(layer, CONVOLUTIONS) and not is_depthwise(layer)


def _refuse_unknown(detector: Detector) -> None:
    """Raise `ValueError` for a module whose dimensions torch-pruning would have to guess."""
    for name, module in detector.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.numel() > 1]
        if own and not isinstance(module, KNOWN):
            raise InputError(f"{name}: pruning a {type(module).__name__} is not supported")
