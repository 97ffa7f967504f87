"""Initial weights of a search or a trial: made available, or refused, before training."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from compress import Plan, replay
from detectors.detector import Detector
from detectors.weights.imagenet import load_imagenet_backbone
from detectors.weights.place import Placement, inherit, place
from detectors.weights.published import Published, State, read_state
from detectors.weights.shapes import load_shapes_backbone
from launch.trial.data import TrialError
from launch.trial.teachers import LoadTeacher, is_saved_detector
from searchspace import Space, TrialConfig
from searchspace.backbones import BACKBONES
from searchspace.domains import options
from searchspace.errors import InputError
from searchspace.given import GivenTrials
from searchspace.initial_weights import WEIGHTS, WIDEST, check_start_from
from searchspace.reading import in_words
from searchspace.training import WEIGHTS_BY_NAME, TrainConfig

logger = logging.getLogger(__name__)

NONE = "none"
"""Value of `--weights`: backbones start from random weights."""

DOWNLOADED = ("imagenet", "auto")


def with_weights(space: Space, asked: Path | str | None) -> tuple[Space, Path | None]:
    """The space changed by `--weights`, and the path of published weights that are not downloaded.

    Afterwards all weights that the space may need are on this machine.

    Args:
        asked: a folder or file with published weights, a saved detector to start from, `none` for
            random weights, None to download them if needed.

    Raises:
        WeightsUnavailable: published weights that the space may need are not available.
        TrialError: a folder is given, but the space does not use published weights.
    """
    if str(asked) == NONE:
        return space.fix(WEIGHTS, NONE), None
    given = None if asked is None else Path(asked).resolve()
    if given and is_saved_detector(given):
        return space.fix(WEIGHTS, str(given)), None
    if given and not any(True for _ in _needed(space)):
        raise TrialError(
            f"--weights {asked}: the space {space.name} has {WEIGHTS} "
            f"{dict(space.fields())[WEIGHTS]}, which reads no files: leave --weights out"
        )
    make_sure(space, given)
    return space, given


def replaces_weights(asked: Path | str | None) -> bool:
    """Whether `--weights` sets the weights of a trial, and not only where its files are."""
    return asked is not None and (str(asked) == NONE or is_saved_detector(Path(asked)))


def make_sure(space: Space, given: Path | None) -> None:
    """Download all published weights that a space may need; raises `WeightsUnavailable`."""
    if isinstance(space, GivenTrials):
        for config in space.configs.values():
            make_sure_of(config, given)
        return
    for file in _needed(space):
        file.make_sure(given)


def trial_with_weights(
    config: TrialConfig, asked: Path | str | None
) -> tuple[TrialConfig, Path | None]:
    """A configuration changed by `--weights`, and the path of its published weights.

    Raises:
        TrialError: a folder is given, but the trial does not use published weights; or the
            configuration is incompatible with its initial weights.
    """
    try:
        if str(asked) == NONE:
            return config.changed(train=config.train.changed(weights=NONE)), None
        if asked is not None and is_saved_detector(Path(asked)):
            train = config.train.changed(weights=str(Path(asked).resolve()))
            return config.changed(train=train), None
        started = config.started()
    except ValidationError as error:
        raise TrialError(f"the trial's configuration: {in_words(error)}") from None
    if asked is not None and started.train.weights not in DOWNLOADED:
        raise TrialError(
            f"--weights {asked}: the trial has {WEIGHTS} {started.train.weights!r}, which reads no "
            "files: leave --weights out"
        )
    return started, None if asked is None else Path(asked).resolve()


def trials_with_weights(
    configs: Mapping[str, TrialConfig], asked: Path | str | None
) -> tuple[dict[str, TrialConfig], Path | None]:
    """Several configurations changed by `--weights`, and the path of their published weights.

    Trials that start from a saved detector still do, unless another one is given.

    Raises:
        TrialError: a folder is given, but none of them uses published weights; or one is
            incompatible with its initial weights, which the message names.
    """
    is_folder = not (asked is None or str(asked) == NONE or is_saved_detector(Path(asked)))
    changed, given = {}, None
    for name, config in configs.items():
        reads = config.train.weights in DOWNLOADED if is_folder else config.train.start is None
        try:
            changed[name], found = trial_with_weights(config, asked if reads else None)
        except TrialError as error:
            raise TrialError(f"trial {name}: {error}") from None
        given = given or found
    if is_folder and given is None:
        raise TrialError(
            f"--weights {asked}: none of the trials reads published weights: leave --weights out"
        )
    return changed, given


def make_sure_of(config: TrialConfig, given: Path | None) -> None:
    """Download the published weights of one trial, if any; raises `WeightsUnavailable`."""
    if config.train.weights in DOWNLOADED:
        Published.of(config.detector.backbone).make_sure(given)


def load_start(name: str, load: LoadTeacher) -> Detector | State:
    """The saved detector that `train.weights` names, or the tensors of a file without one.

    Args:
        load: loads the saved detectors that the configuration names.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = Path(name)
    return read_state(path) if path.is_file() and not is_saved_detector(path) else load(name)


def check_saved_start(
    config: TrialConfig, classes: Sequence[str], load: LoadTeacher, plan: Plan | None = None
) -> None:
    """Raise `TrialError` if training cannot start from the saved detector that `train.weights`
    names: it is missing, computes another function, or none of its weights fit the backbone.

    Args:
        plan: the channels that the trained detector does not have.
    """
    name = config.train.start
    if name is None:
        return
    try:
        source = load_start(name, load)
    except InputError as error:
        names = ", ".join(WEIGHTS_BY_NAME)
        raise TrialError(f"{WEIGHTS} {name!r}: {error}; or use one of {names}") from None
    with torch.device("meta"):
        detector = Detector(config.detector, classes)
    if plan is not None:
        replay(detector, plan)
    try:
        if isinstance(source, Detector):
            check_start_from(source.config, config.detector)
        placed = _place_saved(detector, source)
    except InputError as error:
        raise TrialError(f"{WEIGHTS} {name!r}: {error}") from None
    if not any(n.startswith("backbone.") for n in (*placed.copied, *placed.sliced)):
        raise TrialError(
            f"{WEIGHTS} {name!r}: none of its weights fit the backbone, e.g. not "
            f"{next(iter(placed.unplaced), 'any')}: give a detector with the same detector.backbone"
        )


def fill(
    detector: Detector,
    recipe: TrainConfig,
    given: Path | None,
    ancestor: Detector | None,
    saved: Detector | State | None,
    plan: Plan | None = None,
) -> dict[str, Any]:
    """Give a detector the initial weights of its recipe; returns each `Placement`, by source.

    `detector.new_parts` become the parameters that none of them reached.

    Args:
        given: a folder or file with published weights; None downloads them.
        ancestor: a trained detector, whose weights are copied if they fit.
        saved: the one that the recipe names.
        plan: channels that are removed from the detector. Published weights are those of the whole
            one, so the channels that are left keep theirs; saved ones are of one without these.
    """
    placed: dict[str, Placement] = {}
    if saved is None and recipe.weights == "shapes":
        placed[WEIGHTS] = load_shapes_backbone(detector)
    elif saved is None and recipe.weights == "imagenet":
        placed[WEIGHTS] = load_imagenet_backbone(detector, given)
    if plan is not None:
        _remove(detector, plan, _new_parts(detector, placed.values()))
    if saved is not None:
        placed[WEIGHTS] = _place_saved(detector, saved)
    if ancestor is not None:
        placed["ancestor"] = inherit(detector, ancestor)
    for source, placement in placed.items():
        value = f" {recipe.weights}" if source == WEIGHTS else ""
        if missing := placement.missing:
            logger.warning(
                f"{source}{value}: {len(missing)} tensors of the detector are not among these "
                f"weights and are random: {', '.join(missing[:3])}{', ...' if missing[3:] else ''}"
            )
        if known := placement.classes:
            logger.warning(
                f"{source}{value}: the head starts from these weights for {len(known)} of "
                f"{len(detector.classes)} classes, by name; the others are random"
            )
    detector.new_parts = _new_parts(detector, placed.values())
    return {source: asdict(placement) for source, placement in placed.items()}


def _place_saved(detector: Detector, saved: Detector | State) -> Placement:
    """Copy what fits of a saved detector; only a wider one's layers are sliced, because in one of
    the same width they would be other layers by the same name."""
    if isinstance(saved, Detector):
        return inherit(detector, saved, slices=saved.config.width > detector.config.width)
    with torch.no_grad():
        return place(detector, saved, slices=False)


def _remove(detector: Detector, plan: Plan, random: Collection[str]) -> None:
    """Remove the channels of a plan; random weights are scaled so that a layer's outputs, now of
    fewer inputs, keep their variance."""
    convolutions = {
        name: layer for name, layer in detector.named_modules() if isinstance(layer, nn.Conv2d)
    }
    inputs = {name: layer.in_channels / layer.groups for name, layer in convolutions.items()}
    replay(detector, plan)
    with torch.no_grad():
        for name, layer in convolutions.items():
            if f"{name}.weight" in random:
                layer.weight *= (inputs[name] * layer.groups / layer.in_channels) ** 0.5


def _new_parts(detector: Detector, placed: Iterable[Placement]) -> frozenset[str]:
    """The parameters that none of the initial weights reached."""
    reached = {name for found in placed for name in (*found.copied, *found.sliced)}
    names = (name for name, _ in detector.named_parameters())
    return frozenset(n for n in names if not {n, n.removeprefix("backbone.")} & reached)


def _needed(space: Space) -> Iterator[Published]:
    """The files of published weights that a space may need, each once."""
    fields = dict(space.fields())
    if not set(options(fields[WEIGHTS])) & set(DOWNLOADED):
        return
    too_wide = fields["detector.width"].nearest(0) > WIDEST["imagenet"]
    kinds = options(fields["detector.backbone.kind"])
    for kind, cls in BACKBONES.by_kind.items():
        if kind not in kinds or (cls.scales and too_wide):
            continue
        values = (options(fields[f"detector.backbone.{kind}.{name}"]) for name in cls.weights_by)
        for own in itertools.product(*values):
            # Which other fields a draw gives it plays no part here, and need not go with these.
            backbone = cls.model_construct(**dict(zip(cls.weights_by, own, strict=True)))
            if "imagenet" in backbone.starts():
                yield Published.of(backbone)
