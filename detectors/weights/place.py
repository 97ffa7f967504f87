"""Copying weights into a detector by name and shape, narrowed if needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from detectors.detector import Detector
from detectors.weights.classes import (
    CLASS_LAYERS,
    ClassRows,
    have_equal_classes,
    shared_classes,
)


@dataclass(frozen=True)
class Placement:
    """The outcome of copying a set of weights.

    Attributes:
        copied: tensors that fitted.
        sliced: tensors of which the first channels were copied.
        unplaced: source tensors without a counterpart, or too narrow for it.
        untouched: the network's tensors that were not written.
        classes: the classes whose rows of the head were copied, if the classes differ; the other
            rows of these tensors were not written.
    """

    copied: tuple[str, ...]
    sliced: tuple[str, ...]
    unplaced: tuple[str, ...]
    untouched: tuple[str, ...]
    classes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The untouched tensors, except the batch norms' counters, which few files hold."""
        return tuple(n for n in self.untouched if not n.endswith("num_batches_tracked"))


def inherit(target: Detector, source: Detector, slices: bool = True) -> Placement:
    """Copy the weights of a similar detector into `target`, in place.

    Eliminated strides, a split second path and other priors change no tensor, so everything fits.
    If the classes differ, the head's rows of those that both have are copied, by name; without
    names, none are.

    Args:
        slices: whether the first channels of a wider layer are copied.
    """
    tensors, partly = dict(source.state_dict()), []
    if not have_equal_classes(target, source):
        rows, own = ClassRows(target, source), target.state_dict()
        for name in [name for name in tensors if name.startswith(CLASS_LAYERS)]:
            tensor = tensors.pop(name)
            if name in own and (mixed := rows.into(own[name], tensor)) is not None:
                tensors[name] = mixed
                partly.append(name)
    with torch.no_grad():
        found = place(target, tensors, slices)
    return replace(found, classes=shared_classes(target, source) if partly else ())


def place(module: nn.Module, source: Mapping[str, Tensor], slices: bool = True) -> Placement:
    """Copy every tensor that fits `module` by name; with `slices`, slice those that have more
    channels.

    If the input channels of a convolution are sliced, its weights are scaled up by the same factor,
    so that its outputs keep their scale. A tensor with fewer channels or another kernel size is
    left out.
    """
    copied, sliced, unplaced = [], [], []
    own = module.state_dict()
    transposed = {
        f"{name}.weight"
        for name, layer in module.named_modules()
        if isinstance(layer, nn.ConvTranspose2d)
    }
    for name, tensor in source.items():
        target = own.get(name)
        if target is None or target.ndim != tensor.ndim:
            unplaced.append(name)
        elif target.shape == tensor.shape:
            target.copy_(tensor)
            copied.append(name)
        elif slices and _is_wider(tensor.shape, target.shape):
            part = tensor[tuple(slice(n) for n in target.shape)].to(target.dtype)
            inputs = 0 if name in transposed else 1
            growth = tensor.shape[inputs] / target.shape[inputs] if target.ndim == 4 else 1.0
            target.copy_(part * growth)
            sliced.append(name)
        else:
            unplaced.append(name)
    placed = {*copied, *sliced}
    untouched = tuple(name for name in own if name not in placed)
    return Placement(tuple(copied), tuple(sliced), tuple(unplaced), untouched)


def _is_wider(shape: torch.Size, target: torch.Size) -> bool:
    """Whether a tensor has at least as many channels as its target, and the same kernel size."""
    enough = all(n >= wanted for n, wanted in zip(shape[:2], target[:2], strict=True))
    return enough and shape[2:] == target[2:]
