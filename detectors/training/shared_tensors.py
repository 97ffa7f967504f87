"""One set of tensors for many designs: each computes with the first channels of what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call

from detectors.describe import skeleton
from detectors.detector import Detector
from detectors.dry_run import WholeOutputs
from detectors.features import Outputs
from searchspace.detector import DetectorConfig

Build = Callable[[DetectorConfig], Detector]
"""Builds a detector with its initial weights."""


class Part(NamedTuple):
    """What a design takes for one of its parameters: the first entries of a shared tensor."""

    key: str
    shape: tuple[int, ...]

    def of(self, tensor: Tensor) -> Tensor:
        """A view of a shared tensor, into which gradients flow."""
        return tensor[tuple(map(slice, self.shape))]


def family(config: DetectorConfig) -> str:
    """What the designs have in common that share neck and head: only tensors that read the same
    maps can be one."""
    taps = "-".join(map(str, config.backbone.taps))
    steps = "-".join(step.kind for step in config.neck)
    return f"{config.backbone.kind}:{taps}:{steps}:{config.head.kind}"


def parts_of(config: DetectorConfig, detector: Detector) -> dict[str, Part]:
    """By parameter, what a design takes of the shared tensors.

    Two designs share a parameter if its name and kernel agree, as `detectors.weights.place` has it;
    besides, those of the backbone need the same kind of backbone, and all others the same `family`.
    """
    parts = {}
    for name, parameter in detector.named_parameters():
        group = config.backbone.kind if name.startswith("backbone.") else family(config)
        kernel = "x".join(map(str, parameter.shape[2:]))
        parts[name] = Part(f"{name}|{group}|{kernel}", tuple(parameter.shape))
    return parts


class SharedWeights:
    """Tensors of which each of many designs takes its part.

    Batch statistics are not among them, as each design has others: a detector that is taken from
    here needs `compress.recalibrate` before it is of any use.

    Attributes:
        tensors: parameters by key, each as large as the largest design needs it.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = {key: nn.Parameter(_laid_out(t)) for key, t in tensors.items()}

    @classmethod
    def of(cls, configs: Iterable[DetectorConfig], build: Build) -> Self:
        """Tensors for some designs, with the initial weights of those that need the most.

        Args:
            build: called for as few of them as have all tensors together.
        """
        wanted = {config: parts_of(config, skeleton(config)) for config in configs}
        largest: dict[str, tuple[int, ...]] = {}
        for part in (part for parts in wanted.values() for part in parts.values()):
            known = largest.get(part.key, part.shape)
            largest[part.key] = tuple(map(max, known, part.shape))
        tensors = {key: torch.zeros(shape) for key, shape in largest.items()}
        filled: dict[str, list[tuple[int, ...]]] = {key: [] for key in tensors}
        for config in sorted(wanted, key=lambda c: -_scalars(wanted[c])):
            new = {n: p for n, p in wanted[config].items() if not _within(p, filled[p.key])}
            if not new:
                continue
            values = dict(build(config).named_parameters())
            for name, part in new.items():
                part.of(tensors[part.key]).copy_(values[name].detach())
                filled[part.key].append(part.shape)
        return cls(tensors)

    def detector(self, config: DetectorConfig, classes: Sequence[str] = ()) -> Detector:
        """A detector with a copy of its part, whose batch statistics are still to be found."""
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, then replaced
            detector = Detector(config, classes)
        parts = parts_of(config, detector)
        with torch.no_grad():
            for name, parameter in detector.named_parameters():
                part = parts[name]
                parameter.copy_(part.of(self.tensors[part.key]))
        return detector

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors by key, see `have_all`."""
        return {key: tuple(tensor.shape) for key, tensor in self.tensors.items()}

    def to(self, device: torch.device) -> Self:
        """The same on a device; designs of them have to be made afterwards."""
        return type(self)({key: t.detach().to(device) for key, t in self.tensors.items()})

    def save(self, file: Path) -> None:
        save_file({key: t.detach().cpu().contiguous() for key, t in self.tensors.items()}, file)

    @classmethod
    def load(cls, file: Path) -> Self:
        return cls(load_file(file))


class Design:
    """A detector that computes with its part of shared tensors, so that training it trains them.

    Attributes:
        config: its configuration.
        detector: its layers, with buffers of its own, but parameters without values.
    """

    def __init__(
        self, shared: SharedWeights, config: DetectorConfig, classes: Sequence[str] = ()
    ) -> None:
        tensors = shared.tensors
        with torch.random.fork_rng(devices=[]):
            detector = Detector(config, classes)
        self.config = config
        self.detector = detector.to(next(iter(tensors.values())).device).train()
        self._taken = [
            (f"detector.{name}", part, tensors[part.key])
            for name, part in parts_of(config, detector).items()
        ]
        _without_values(detector)
        self._whole = WholeOutputs(detector)

    def outputs(self, batch: Tensor) -> Outputs:
        """As `Detector.outputs`, for images [N, 3, H, W] in 0..1."""
        views = {name: part.of(tensor) for name, part, tensor in self._taken}
        return functional_call(self._whole, views, (batch,))


def _without_values(module: nn.Module) -> None:
    """Put all parameters of a module on the meta device, in place; its buffers stay."""
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            setattr(layer, name, nn.Parameter(parameter.to("meta")))


def _laid_out(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _scalars(parts: Mapping[str, Part]) -> int:
    return sum(torch.Size(part.shape).numel() for part in parts.values())


def have_all(shapes: Mapping[str, tuple[int, ...]], config: DetectorConfig) -> bool:
    """Whether shared tensors of these shapes, by key, have slices for all of a design."""
    parts = parts_of(config, skeleton(config)).values()
    return all(part.key in shapes and _within(part, [shapes[part.key]]) for part in parts)


def _within(part: Part, shapes: Iterable[tuple[int, ...]]) -> bool:
    """Whether a part lies within one that has its values already."""
    return any(all(n <= m for n, m in zip(part.shape, s, strict=True)) for s in shapes)
