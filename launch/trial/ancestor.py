"""The trained detector that a trial's training starts from: given beside its configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.detector import Detector
from launch.trial.data import TrialError
from launch.trial.teachers import fingerprint
from searchspace.errors import InputError
from searchspace.reading import Unreadable, read_model

ANCESTOR = "ancestor.json"
"""Lies beside `trial.json` where the training starts from another detector's weights."""


class Ancestor(BaseModel):
    """What a trial's training started from.

    Attributes:
        folder: where the saved detector lay.
        fingerprint: tells it apart from any other one, wherever it lies.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    fingerprint: str


def load_ancestor(folder: Path) -> Detector:
    """The saved detector in a folder; raises `TrialError` where there is none."""
    try:
        return Detector.load(folder)
    except InputError as error:
        raise TrialError(f"ancestor {folder}: {error}") from None


def ancestor_beside(trial_file: Path) -> Path | None:
    """The ancestor of the trial that left a `trial.json`; None where it had none.

    Raises:
        TrialError: it is not there any more, or is another detector now.
    """
    file = trial_file.parent / ANCESTOR
    if trial_file.name != "trial.json" or not file.exists():
        return None
    fix = (
        "put it back, give a saved detector with --ancestor, or copy trial.json into another "
        "folder to train without an ancestor"
    )
    try:
        there = read_model(file, Ancestor, fix)
    except Unreadable as error:
        raise TrialError(str(error)) from None
    if not there.folder.is_dir():
        raise TrialError(
            f"{trial_file}: its training started from the detector in {there.folder}, which is "
            f"gone: {fix}"
        )
    if fingerprint(load_ancestor(there.folder)) != there.fingerprint:
        raise TrialError(
            f"{trial_file}: the detector in {there.folder} is not the one that its training "
            f"started from: {fix}"
        )
    return there.folder
