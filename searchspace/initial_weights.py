"""Initial weights of backbones, and the settings of a detector that they require."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from searchspace.backbones import BACKBONES
from searchspace.detector import DetectorConfig
from searchspace.domains import Domain, holds
from searchspace.errors import InputError
from searchspace.training import WEIGHTS_BY_NAME, Weights

WEIGHTS = "train.weights"

WIDEST = {"imagenet": 1.0, "shapes": 0.375}
"""The width of the widest backbone with weights; a narrower one takes their first channels."""


def resolved(weights: Weights, detector: DetectorConfig) -> Weights:
    """The weights, with `auto` replaced: ImageNet's if they exist for the backbone, else none."""
    if weights != "auto":
        return weights
    there = "imagenet" in detector.backbone.starts()
    return "imagenet" if there and _is_narrow_enough("imagenet", detector) else "none"


def presupposed(weights: Weights, detector: DetectorConfig) -> Mapping[str, object]:
    """The settings that a detector needs to start from weights, by path below `detector`."""
    return detector.backbone.starts().get(weights, {})


def check_start(weights: Weights, detector: DetectorConfig) -> None:
    """Raise ValueError if a detector cannot start from weights, e.g. because of its width."""
    check_trained_with(weights, detector)
    if not _is_narrow_enough(weights, detector):
        raise InputError(
            f"{WEIGHTS} {weights!r} are for width {WIDEST[weights]:g} or less, not "
            f"{detector.width}: lower detector.width, or use 'none'"
        )


def check_trained_with(weights: Weights, detector: DetectorConfig) -> None:
    """Check that a detector has the settings that its initial weights were trained with: the shapes
    of the weights do not show these.

    Raises:
        ValueError: there are none for its backbone, or they were trained with other settings.
    """
    family = detector.backbone.family
    if weights in WIDEST and weights not in detector.backbone.starts():
        kinds = [
            kind
            for kind, cls in BACKBONES.by_kind.items()
            if weights in cls.model_validate({}).starts()
        ]
        raise InputError(
            f"{WEIGHTS} {weights!r} holds {', '.join(kinds)}, not {family}: use 'none'"
        )
    for path, value in presupposed(weights, detector).items():
        if (found := attrgetter(path)(detector)) != value:
            raise InputError(
                f"{WEIGHTS} {weights!r}: those of {family} were trained with detector.{path} "
                f"{value!r}, not {found!r}: set it to that, or use weights 'none'"
            )


def check_start_from(source: DetectorConfig, detector: DetectorConfig) -> None:
    """Check that weights of a saved detector mean the same in another one: shapes do not show it.

    Raises:
        ValueError: its backbone is of another family, or has other settings that weights require.
    """
    theirs, ours = source.backbone.family, detector.backbone.family
    if theirs != ours:
        raise InputError(
            f"its backbone is {theirs}, not {ours}: give a detector with this backbone, or one of "
            f"{', '.join(WEIGHTS_BY_NAME)}"
        )
    for path in sorted(_required_by_weights(detector)):
        needed, found = (attrgetter(path)(config) for config in (source, detector))
        if needed != found:
            raise InputError(
                f"it was trained with detector.{path} {needed!r}, not {found!r}: set it to that"
            )


def prepared(weights: Weights, detector: DetectorConfig) -> DetectorConfig:
    """The detector with the settings that its initial weights require, if these are at defaults."""
    usual = {p: v for p, v in presupposed(weights, detector).items() if _is_default(p, detector)}
    return _with(detector, usual)


def unprepared(
    weights: Weights, detector: DetectorConfig, domains: Mapping[str, Domain]
) -> DetectorConfig:
    """The inverse of `prepared`: defaults for those fields, unless a space names them."""
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
    """Weights as named in a space: `auto`, if the space has that and not the weights themselves."""
    if domain is None or holds(domain, weights) or not holds(domain, "auto"):
        return weights
    return "auto" if resolved("auto", detector) == weights else weights


def one_whatever_the_start(detector: DetectorConfig) -> DetectorConfig:
    """The same value for all detectors that differ only in settings that initial weights
    require."""
    paths = _required_by_weights(detector)
    return _with(detector, {path: _default(path, detector) for path in paths})


def _required_by_weights(detector: DetectorConfig) -> set[str]:
    """The fields of a detector, by path, that some initial weights of its backbone require."""
    starts = detector.backbone.starts().values()
    return {"pixels", *(path for presupposed in starts for path in presupposed)}


def _with(detector: DetectorConfig, values: Mapping[str, object]) -> DetectorConfig:
    """The detector with other values of fields, by path; no shape may depend on them."""
    own = {path: value for path, value in values.items() if "." not in path}
    below = {p.removeprefix("backbone."): v for p, v in values.items() if "." in p}
    backbone = detector.backbone.model_copy(update=below)
    return detector.model_copy(update=own | {"backbone": backbone})


def _is_narrow_enough(weights: Weights, detector: DetectorConfig) -> bool:
    return not detector.backbone.scales or detector.width <= WIDEST.get(weights, math.inf)


def _is_default(path: str, detector: DetectorConfig) -> bool:
    return attrgetter(path)(detector) == _default(path, detector)


def _default(path: str, detector: DetectorConfig) -> Any:
    """The default of a field; None if this backbone has no such field."""
    owner, name = detector, path
    if path.startswith("backbone."):
        owner, name = detector.backbone, path.removeprefix("backbone.")
    info = type(owner).model_fields.get(name)
    return info.default if info else None
