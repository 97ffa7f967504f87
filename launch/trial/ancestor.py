"""The ancestor of a trial: the trained detector whose weights its training starts from."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.detector import Detector
from launch.trial.data import TrialError
from launch.trial.teachers import fingerprint
from searchspace.errors import InputError
from searchspace.reading import Unreadable, read_model

ANCESTOR = "ancestor.json"
"""File next to `trial.json`, if the training starts from another detector's weights."""


class Ancestor(BaseModel):
    """The detector that a trial's training started from.

    Attributes:
        folder: the folder of the saved detector.
        fingerprint: identifies the detector independently of its folder.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    fingerprint: str


def load_ancestor(folder: Path) -> Detector:
    """The saved detector in a folder; raises `TrialError` if there is none."""
    try:
        return Detector.load(folder)
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
    except Unreadable as error:
        raise TrialError(str(error)) from None
    if not there.folder.is_dir():
        raise TrialError(
            f"{trial_file}: its training started from the detector in {there.folder}, which is "
            f"missing: {fix}"
        )
    if fingerprint(load_ancestor(there.folder)) != there.fingerprint:
        raise TrialError(
            f"{trial_file}: the detector in {there.folder} is not the one that its training "
            f"started from: {fix}"
        )
    return there.folder
