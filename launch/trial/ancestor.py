"""The ancestor of a trial: the trained detector, or the shared weights, that its training starts
from."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.detector import Detector
from detectors.training.shared_tensors import SharedWeights, have_all
from detectors.weights.published import read_state
from launch.files import SHARED_TENSORS
from launch.trial.data import TrialError
from launch.trial.teachers import fingerprint
from searchspace.detector import DetectorConfig
from searchspace.errors import InputError
from searchspace.reading import Unreadable, read_model
from searchspace.trial import TrialConfig

ANCESTOR = "ancestor.json"
"""File next to `trial.json`, if the training starts from another detector's weights."""


class Ancestor(BaseModel):
    """What a trial's training started from.

    Attributes:
        folder: the folder of the saved detector, or of the shared weights.
        fingerprint: identifies the detector, or the trial's slices, independently of the folder.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    fingerprint: str


def has_shared_weights(folder: Path) -> bool:
    """Whether an ancestor's folder has shared weights, of which designs take slices."""
    return (folder / SHARED_TENSORS).is_file()


def load_ancestor(folder: Path, config: DetectorConfig) -> Detector:
    """The saved detector in a folder, or that of a configuration with its slices of the shared
    weights there, whose batch statistics are still to be found.

    Raises:
        TrialError: there is neither.
    """
    try:
        if not has_shared_weights(folder):
            return Detector.load(folder)
        shared = SharedWeights(read_state(folder / SHARED_TENSORS))
        if not have_all(shared.shapes, config):
            raise InputError("its shared weights are those of other detectors, not of this one")
        return shared.detector(config)
    except InputError as error:
        raise TrialError(f"ancestor {folder}: {error}") from None


def ancestor_beside(trial_file: Path) -> Path | None:
    """The ancestor of the trial with a `trial.json`; None if it had none.

    Raises:
        TrialError: it is missing, or has been replaced by another detector.
    """
    file = trial_file.parent / ANCESTOR
    if trial_file.name != "trial.json" or not file.exists():
        return None
    fix = (
        "restore it, give a saved detector with --ancestor, or copy trial.json into another "
        "folder to train without an ancestor"
    )
    try:
        there = read_model(file, Ancestor, fix)
        config = read_model(trial_file, TrialConfig, fix)
    except Unreadable as error:
        raise TrialError(str(error)) from None
    if not there.folder.is_dir():
        raise TrialError(
            f"{trial_file}: its training started from the weights in {there.folder}, which is "
            f"missing: {fix}"
        )
    if fingerprint(load_ancestor(there.folder, config.detector)) != there.fingerprint:
        raise TrialError(
            f"{trial_file}: the weights in {there.folder} are not those that its training "
            f"started from: {fix}"
        )
    return there.folder
