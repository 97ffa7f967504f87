"""Initial weights: a backbone that was trained on generated shapes, narrowed to any width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detectors.detector import Detector


@dataclass(frozen=True)
class Placement:
    """What became of a set of weights.

    Attributes:
        copied: tensors that fitted.
        sliced: tensors of which the first channels were taken.
        unplaced: tensors without a place, or too narrow for it.
        untouched: the network's tensors that got nothing.
    """

    copied: tuple[str, ...]
    sliced: tuple[str, ...]
    unplaced: tuple[str, ...]
    untouched: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """What got nothing, but for the counters of batch norms, which few files hold."""
        return tuple(n for n in self.untouched if not n.endswith("num_batches_tracked"))


def inherit(target: Detector, source: Detector) -> Placement:
    """Start `target` from the weights of a relative, in place.

    Eliminated strides, a split second path and other priors change no tensor, so that everything
    fits; of a wider relative the first channels are taken. The head's classes are left out where
    the two do not tell the same number of classes.
    """
    tensors = source.state_dict()
    if target.config.num_classes != source.config.num_classes:
        tensors = {n: t for n, t in tensors.items() if not n.startswith("head.classes.")}
    with torch.no_grad():
        return place(target, tensors)


def place(module: nn.Module, source: Mapping[str, Tensor]) -> Placement:
    """Copy every tensor that fits `module` by name; slice those that have more channels.

    Where the input channels of a convolution are sliced, its weights grow by the same factor, so
    that its outputs keep their scale. A tensor with fewer channels, or of another kernel, stays
    unplaced.
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
        elif _is_wider(tensor.shape, target.shape):
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
    """Whether a tensor has no fewer channels than its target, and the same kernel."""
    enough = all(n >= wanted for n, wanted in zip(shape[:2], target[:2], strict=True))
    return enough and shape[2:] == target[2:]
