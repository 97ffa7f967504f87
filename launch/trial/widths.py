"""The channels that a pruned detector does not have, so that it is trained again at its widths."""

from __future__ import annotations

from pathlib import Path

from compress import Plan, read_plan
from launch.files import COMPACT, DENSE, PLAN, TRIAL
from searchspace.reading import read_model
from searchspace.trial import TrialConfig


def plan_beside(trial_file: Path) -> Plan | None:
    """The channels that the detector of a trial did not have from the beginning; None if it had
    all of them.

    Raises:
        Unreadable: `trial.json` or `plan.json` is damaged.
    """
    return recorded_plan(trial_file.parent / DENSE) if trial_file.name == TRIAL else None


def recorded_plan(folder: Path) -> Plan | None:
    """The channels that a saved detector does not have, as its trial recorded them; None where no
    trial did.

    Raises:
        Unreadable: `trial.json` or `plan.json` is damaged.
    """
    trial_file, file = folder.parent / TRIAL, folder.parent / PLAN
    if not (trial_file.exists() and file.exists()):
        return None
    config = read_model(trial_file, TrialConfig, "give the file of a trial")
    # Of a trial that prunes, the detector before that has all of them.
    return read_plan(file) if folder.name == COMPACT or not config.compress.prunes else None
