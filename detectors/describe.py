"""Sizes of a detector and its layers, counted without computing anything."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detectors.detector import Detector
from detectors.dry_run import called_layers, dry_run, once_per_shape
from detectors.features import Features, size_of
from searchspace.detector import DetectorConfig


@dataclass(frozen=True)
class Description:
    """The size of a detector.

    Attributes:
        params: scalars in trainable tensors.
        macs: multiply-accumulates of its convolutions for one image; biases do not count.
        priors_per_level: default boxes, finest level first.
        level_sizes: height and width in cells of the maps that the head reads.
    """

    params: int
    macs: int
    priors_per_level: tuple[int, ...]
    level_sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layer:
    """One layer of a detector, at the granularity of its configuration.

    Attributes:
        part: `backbone`, `neck` or `head`.
        name: row of the backbone, step of the neck, or level of the head.
        outputs: (channels, height, width) of each output, one for each path through the layer.
        params: scalars in its trainable tensors.
        macs: multiply-accumulates for one image, over all paths.
    """

    part: str
    name: str
    outputs: tuple[tuple[int, int, int], ...]
    params: int
    macs: int


def describe(detector: Detector | DetectorConfig) -> Description:
    """Size of a detector, pruned or not, or of the one that a configuration builds."""
    detector = skeleton(detector)
    levels, priors = detector.config.levels(), detector.config.priors()
    return Description(
        params=count_params(detector),
        macs=count_macs(detector),
        priors_per_level=tuple(
            level.cells * p.boxes_per_cell for level, p in zip(levels, priors, strict=True)
        ),
        level_sizes=tuple(level.size for level in levels),
    )


def skeleton(detector: Detector | DetectorConfig) -> Detector:
    """A copy of a detector, or a new one from a configuration, on the meta device: without
    values."""
    if isinstance(detector, Detector):
        return copy.deepcopy(detector).to("meta")
    with torch.device("meta"):
        return Detector(detector)


def count_params(module: nn.Module) -> int:
    """Scalars in the trainable tensors of `module`."""
    return sum(p.numel() for p in module.parameters())


@once_per_shape
def count_macs(detector: Detector) -> int:
    """Multiply-accumulates of the convolutions for one image."""
    with FlopCounterMode(display=False) as counter:
        dry_run(detector)
    return counter.get_total_flops() // 2


def describe_layers(detector: Detector | DetectorConfig) -> tuple[Layer, ...]:
    """Size of each layer of a detector, pruned or not, or of the one that a configuration
    builds."""
    return _described(skeleton(detector))


@once_per_shape
def _described(detector: Detector) -> tuple[Layer, ...]:
    named = named_layers(detector)
    outputs: dict[str, list[tuple[int, int, int]]] = {name: [] for name, _ in named}
    macs = dict.fromkeys(outputs, 0)
    with FlopCounterMode(display=False) as counter:

        def before(name: str) -> None:
            macs[name] -= counter.get_total_flops() // 2

        def after(name: str, given: Tensor | Features, made: Tensor | Features) -> None:
            macs[name] += counter.get_total_flops() // 2
            outputs[name] += [(x.shape[1], *size_of(x)) for x in _new_maps(given, made)]

        for name, module in named:
            module.register_forward_pre_hook(lambda m, i, name=name: before(name))
            module.register_forward_hook(lambda m, i, o, name=name: after(name, i[0], o))
        dry_run(detector)
    return tuple(
        Layer(part, rest, tuple(outputs[name]), count_params(module), macs[name])
        for name, module in named
        for part, _, rest in (name.partition("."),)
    )


def named_layers(detector: Detector) -> list[tuple[str, nn.Module]]:
    """The modules of the layers, each with the name of its part and its own: rows of the backbone,
    then the pieces of each step, then the convolutions of the head."""
    return list(_layers(detector, called_layers(detector)))


def _layers(detector: Detector, called: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    name, backbone = "backbone", detector.backbone
    while len(children := dict(backbone.named_children())) == 1:
        [(child, backbone)] = children.items()
        name = f"{name}.{child}"
    yield from _uppermost(name, backbone, called)
    for name, part in (("neck", detector.neck), ("head", detector.head)):
        for child, module in part.named_children():
            pieces = dict(_pieces(module))
            for piece, layer in pieces.items() or [("", module)]:
                yield f"{name}.{child}{piece}", layer


def _uppermost(
    name: str, module: nn.Module, called: set[nn.Module]
) -> Iterator[tuple[str, nn.Module]]:
    """The modules below one that are called by themselves: containers may be read alone."""
    for child, below in module.named_children():
        if below in called:
            yield f"{name}.{child}", below
        else:
            yield from _uppermost(f"{name}.{child}", below, called)


def _pieces(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The children of a step or of a list of convolutions; lists are flattened."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f".{name}.{index}", layer) for index, layer in enumerate(child))
        else:
            yield f".{name}", child


def _new_maps(given: Tensor | Features, made: Tensor | Sequence[Tensor] | Features) -> list[Tensor]:
    """The outputs of a layer; for features, only the maps that were not among its inputs."""
    if not isinstance(made, Features):
        return [made] if isinstance(made, Tensor) else list(made)
    known = [given] if isinstance(given, Tensor) else [*given.maps, given.top]
    new = {id(x): x for x in (*made.maps, made.top) if not any(x is old for old in known)}
    return list(new.values())
