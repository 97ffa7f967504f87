"""Running a detector on shapes only: every layer is called, nothing is computed or allocated."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle

from detectors.features import Outputs
from searchspace import DetectorConfig
from searchspace.errors import InputError

N = TypeVar("N", bound="Network")
R = TypeVar("R")

REMEMBERED = 300
"""Detectors whose results `once_per_shape` keeps: more than can share weights, each of which is
asked for twice."""


class Network(nn.Module, ABC):
    """A network that can be run on shapes only.

    Attributes:
        config: its configuration.
    """

    config: DetectorConfig

    @abstractmethod
    def outputs(self, batch: Tensor) -> Outputs:
        """Maps and raw predictions for images [N, 3, H, W] in 0..1, of the input's size."""


def dry_run(detector: Network, hooks: Sequence[RemovableHandle] = ()) -> Outputs:
    """Maps and raw predictions for one image as meta tensors, with their autograd graph.

    The cost does not depend on the input size or the detector's device; hooks of layers are called.
    Batch norms are in eval mode.

    Args:
        hooks: hooks for this run alone, which are removed after it, also if it fails.
    """
    training = detector.training
    try:
        raw = WholeOutputs(detector)
        shapes = {name: torch.empty_like(b, device="meta") for name, b in raw.named_buffers()}
        for name, p in raw.named_parameters():
            shapes[name] = torch.empty_like(p, device="meta").requires_grad_()
        image = torch.empty(1, 3, *detector.config.size, device="meta")
        detector.eval()
        with torch.enable_grad():
            return functional_call(raw, shapes, (image,))
    finally:
        detector.train(training)
        for hook in hooks:
            hook.remove()


def once_per_shape(find: Callable[[N], R]) -> Callable[[N], R]:
    """Compute what depends on a detector's layers and their shapes alone once for each: a run on
    shapes takes a tenth of a second, and a trial builds and loads the same detector again and
    again. What is raised is not kept."""
    known: dict[Hashable, R] = {}

    @functools.wraps(find)
    def once(detector: N) -> R:
        layers = tuple((name, type(layer)) for name, layer in detector.named_modules())
        shapes = tuple(tensor.shape for tensor in detector.parameters())
        key = (detector.config, layers, shapes)
        if key not in known:
            found = find(detector)
            if len(known) >= REMEMBERED:
                del known[next(iter(known))]
            known[key] = found
        return known[key]

    return once


@once_per_shape
def check_widths(detector: Network) -> None:
    """Raise `ValueError`, which names the layer, if a layer does not fit its input."""
    last = ""

    def note(name: str) -> None:
        nonlocal last
        last = name

    hooks = [
        layer.register_forward_pre_hook(lambda layer, given, name=name: note(name))
        for name, layer in detector.named_modules()
    ]
    try:
        dry_run(detector, hooks)
    except RuntimeError as error:
        raise InputError(f"{last}: {error}") from None


def called_layers(detector: Network) -> set[nn.Module]:
    """The modules below a detector that are called; of some containers, the parts alone are."""
    names = _called_names(detector)
    return {layer for name, layer in detector.named_modules() if name in names}


@once_per_shape
def _called_names(detector: Network) -> frozenset[str]:
    called: set[str] = set()
    hooks = [
        layer.register_forward_pre_hook(lambda layer, given, name=name: called.add(name))
        for name, layer in detector.named_modules()
    ]
    dry_run(detector, hooks)
    return frozenset(called)


def norms_of_one_cell(detector: Network) -> tuple[str, ...]:
    """The batch norms in training mode whose maps have a single cell: one image gives them one
    value per channel, which is too few for statistics."""
    found: list[str] = []

    def note(name: str, given: Tensor) -> None:
        if given.shape[-2:].numel() == 1:
            found.append(name)

    hooks = [
        layer.register_forward_pre_hook(lambda layer, given, name=name: note(name, given[0]))
        for name, layer in detector.named_modules()
        if isinstance(layer, nn.BatchNorm2d) and layer.training
    ]
    dry_run(detector, hooks)
    return tuple(found)


class WholeOutputs(nn.Module):
    """A detector as a module that returns maps and raw predictions."""

    def __init__(self, detector: Network) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Outputs:
        return self.detector.outputs(images)
