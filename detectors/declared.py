"""Whether the modules of a detector return the maps that its configuration declares."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from torch import nn

from detectors.describe import skeleton
from detectors.detector import Detector
from detectors.dry_run import dry_run
from detectors.features import Features, size_of
from searchspace.detector import DetectorConfig
from searchspace.errors import InputError
from searchspace.geometry import Level, Levels


@functools.lru_cache
def check_declared(config: DetectorConfig) -> None:
    """Run the detector on shapes alone, and compare the backbone's and each step's maps.

    Raises:
        InputError: a map is not as `levels()` of its configuration says, or a module does not take
            the maps before it; the message names the part.
    """
    detector = skeleton(config)
    running = ["the detector"]

    def begin(name: str) -> None:
        running[0] = name

    hooks = []
    for name, module, declared in _parts(detector):
        hooks += [
            module.register_forward_pre_hook(lambda part, given, name=name: begin(name)),
            module.register_forward_hook(
                lambda part, given, out, name=name, declared=declared: _compare(name, declared, out)
            ),
        ]
    try:
        dry_run(detector, hooks)
    except RuntimeError as error:
        raise InputError(f"{running[0]}: {error}") from error


def _parts(detector: Detector) -> Iterator[tuple[str, nn.Module, Levels]]:
    """The name of each part before the head, its module, and what it declares."""
    first, *others = detector.config.stages()
    yield f"backbone {detector.config.backbone.kind!r}", detector.backbone, first
    steps = zip(detector.config.neck, detector.neck, others, strict=True)
    for number, (step, module, declared) in enumerate(steps):
        yield f"neck.{number}, step {step.kind!r}", module, declared


def _compare(name: str, declared: Levels, out: Features) -> None:
    if len(out.maps) != len(declared.maps):
        raise InputError(
            f"{name}: levels() declares {len(declared.maps)} maps, but its module returns "
            f"{len(out.maps)}"
        )
    pairs = [
        (f"map {i}", *pair) for i, pair in enumerate(zip(declared.maps, out.maps, strict=True))
    ]
    pairs.append(("the top", declared.top, out.top))
    pairs += [
        (f"side map {i}", *pair)
        for i, pair in enumerate(zip(declared.side, out.side, strict=False))
    ]
    for what, level, tensor in pairs:
        if _shape(level) != (found := (tensor.shape[1], *size_of(tensor))):
            raise InputError(
                f"{name}: levels() declares {_words(_shape(level))} for {what}, but its module "
                f"returns {_words(found)}: make them equal"
            )


def _shape(level: Level) -> tuple[int, int, int]:
    return level.channels, level.height, level.width


def _words(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{channels} channels of {height}x{width} cells"
