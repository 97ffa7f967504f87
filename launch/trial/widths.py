"""The channels that a pruned detector does not have, so that it is trained again at its widths."""

from __future__ import annotations

from pathlib import Path

from compress import Plan, read_plan
from launch.files import COMPACT, PLAN, TRIAL
from searchspace.reading import read_model
from searchspace.trial import TrialConfig


def plan_beside(trial_file: Path) -> Plan | None:
    """The channels that the detector of a trial did not have from the beginning; None if it had
    all of them.

    Raises:
        Unreadable: `trial.json` or `plan.json` is damaged.
    """
    file = trial_file.parent / PLAN
    if trial_file.name != TRIAL or not file.exists():
        return None
    return None if _prunes(trial_file) else read_plan(file)


def recorded_plan(folder: Path) -> Plan | None:
    """The channels that a saved detector does not have, as its trial recorded them; None where no
    trial did.

    Raises:
        Unreadable: `trial.json` or `plan.json` is damaged.
    """
    trial_file, file = folder.parent / TRIAL, folder.parent / PLAN
    if not (trial_file.exists() and file.exists()):
        return None
    # Of a trial that prunes, the detector before that has all of them.
    return read_plan(file) if folder.name == COMPACT or not _prunes(trial_file) else None


def _prunes(trial_file: Path) -> bool:
    fix = "give the file of a trial"
    return read_model(trial_file, TrialConfig, fix).compress.prunes
