"""What backbones start from: which weights there are, and what these presuppose of a detector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from searchspace.detector import DetectorConfig
from searchspace.domains import Domain, holds
from searchspace.errors import InputError
from searchspace.training import Weights

WEIGHTS = "train.weights"

PRESUPPOSED: dict[str, dict[str, dict[str, object]]] = {
    "imagenet": {
        "vgg16": {"pixels": "imagenet"},
        "resnet": {"pixels": "imagenet"},
        "mobilenet_v1": {"pixels": "inception", "backbone.activation": "relu6"},
    },
    "shapes": {"mobilenet_v1": {"pixels": "imagenet", "backbone.activation": "relu"}},
}
"""Weights -> the kinds of backbones that they are for -> what these were trained with, by path."""

WIDEST = {"imagenet": 1.0, "shapes": 0.375}
"""The width of the widest backbone that there are weights for; of them, a narrower one takes the
first channels."""


def resolved(weights: Weights, detector: DetectorConfig) -> Weights:
    """The weights that `auto` stands for: ImageNet's where these exist for the backbone."""
    if weights != "auto":
        return weights
    there = detector.backbone.kind in PRESUPPOSED["imagenet"]
    return "imagenet" if there and detector.width <= WIDEST["imagenet"] else "none"


def presupposed(weights: Weights, detector: DetectorConfig) -> Mapping[str, object]:
    """What a detector must be to start from weights, by path below `detector`."""
    return PRESUPPOSED.get(weights, {}).get(detector.backbone.kind, {})


def check_start(weights: Weights, detector: DetectorConfig) -> None:
    """Raise ValueError where a detector cannot start from weights, its width included."""
    check_trained_with(weights, detector)
    if detector.width > WIDEST.get(weights, math.inf):
        raise InputError(
            f"{WEIGHTS} {weights!r} holds width {WIDEST[weights]:g}, not {detector.width}: lower "
            f"detector.width; to keep width {detector.width}: use 'none'"
        )


def check_trained_with(weights: Weights, detector: DetectorConfig) -> None:
    """Hold a detector to what its initial weights were trained with: they fit by shape elsewhere.

    Raises:
        ValueError: there are none for its backbone, or they were trained with something else.
    """
    kind, kinds = detector.backbone.kind, PRESUPPOSED.get(weights)
    if kinds is not None and kind not in kinds:
        raise InputError(f"{WEIGHTS} {weights!r} holds {', '.join(kinds)}, not {kind}: use 'none'")
    for path, value in presupposed(weights, detector).items():
        if (found := attrgetter(path)(detector)) != value:
            raise InputError(
                f"{WEIGHTS} {weights!r}: those of {kind} were trained with detector.{path} "
                f"{value!r}, not {found!r}: set it so, or use weights 'none'"
            )


def prepared(weights: Weights, detector: DetectorConfig) -> DetectorConfig:
    """The detector with what its initial weights presuppose, where it has the fields' defaults."""
    usual = {p: v for p, v in presupposed(weights, detector).items() if _is_default(p, detector)}
    return _with(detector, usual)


def unprepared(
    weights: Weights, detector: DetectorConfig, domains: Mapping[str, Domain]
) -> DetectorConfig:
    """The inverse of `prepared`: the defaults of those fields, but for what a space names."""
    kind = detector.backbone.kind
    return _with(
        detector,
        {
            path: _default(path, detector)
            for path in presupposed(weights, detector)
            if f"detector.{path.replace('backbone.', f'backbone.{kind}.')}" not in domains
        },
    )


def as_named(weights: Weights, detector: DetectorConfig, domain: Domain | None) -> Weights:
    """Weights as a space names them: `auto`, where it has that and not the weights themselves."""
    if domain is None or holds(domain, weights) or not holds(domain, "auto"):
        return weights
    return "auto" if resolved("auto", detector) == weights else weights


def one_whatever_the_start(detector: DetectorConfig) -> DetectorConfig:
    """The same for all detectors that differ in what initial weights presuppose alone."""
    paths = {path for kinds in PRESUPPOSED.values() for p in kinds.values() for path in p}
    there = [path for path in paths if _default(path, detector) is not None]
    return _with(detector, {path: _default(path, detector) for path in there})


def _with(detector: DetectorConfig, values: Mapping[str, object]) -> DetectorConfig:
    """The same with other values of fields that no shape depends on, by path."""
    own = {path: value for path, value in values.items() if "." not in path}
    below = {p.removeprefix("backbone."): v for p, v in values.items() if "." in p}
    backbone = detector.backbone.model_copy(update=below)
    return detector.model_copy(update=own | {"backbone": backbone})


def _is_default(path: str, detector: DetectorConfig) -> bool:
    return attrgetter(path)(detector) == _default(path, detector)


def _default(path: str, detector: DetectorConfig) -> Any:
    """What a field has by default; None where this backbone has no such field."""
    owner, name = detector, path
    if path.startswith("backbone."):
        owner, name = detector.backbone, path.removeprefix("backbone.")
    info = type(owner).model_fields.get(name)
    return info.default if info else None
