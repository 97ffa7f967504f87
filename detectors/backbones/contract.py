"""The contract of a backbone's module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from detectors.features import Features
from searchspace.training import Frozen

SIDE = 256
"""Pixels of the image on which it is found out which layers a map depends on."""


class Backbone(nn.Module, ABC):
    """The module that is built from a `searchspace.backbones.Backbone`, marked with `@builds`.

    It is called with that configuration and `detector.width`. A subclass writes `__init__`, which
    calls this one's without arguments, and `forward`.

    Attributes:
        frozen: what learns nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frozen = Frozen()
        self._still: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, images: Tensor) -> Features:
        """Normalised images [N, 3, H, W] to the maps that the configuration's `levels` declares."""

    def first(self, stages: int) -> Sequence[str]:
        """The layers that `train.frozen.rows` of that number freezes, by name.

        By default those with parameters that any of the first `stages` maps depends on.
        """
        return tuple(dict.fromkeys(name.rpartition(".")[0] for name in self._read_by(stages)))

    def freeze(self, frozen: Frozen) -> None:
        """Set what learns nothing from now on; all else learns again."""
        self.frozen = frozen
        self._still = tuple(self.first(frozen.rows)) if frozen.rows else ()
        self.requires_grad_(True)
        for name in self._still:
            for parameter in self.get_submodule(name).parameters(recurse=False):
                parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode of all but frozen batch norms, which are always in eval mode."""
        super().train(mode)
        for name in self._still:
            self.get_submodule(name).training = False
        if self.frozen.statistics:
            for layer in self.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        return self

    def _read_by(self, maps: int) -> list[str]:
        """The parameters that any of so many maps depends on, by name; computed on shapes alone."""
        buffers = {n: torch.empty_like(b, device="meta") for n, b in self.named_buffers()}
        parameters = {
            name: torch.empty_like(p, device="meta").requires_grad_()
            for name, p in self.named_parameters()
        }
        image = torch.empty(1, 3, SIDE, SIDE, device="meta")
        with torch.enable_grad():
            made = functional_call(self, parameters | buffers, (image,)).maps[:maps]
        grads = torch.autograd.grad(
            made, list(parameters.values()), [torch.empty_like(x) for x in made], allow_unused=True
        )
        return [name for name, grad in zip(parameters, grads, strict=True) if grad is not None]
