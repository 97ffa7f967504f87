"""Trials, studies and searches.

Names are imported on first use: a single trial needs neither Ray nor Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from launch.report import Front, load_front
    from launch.searches import resume, search
    from launch.searches.ask_tell import Study
    from launch.searches.given import reproduce, run_trials
    from launch.study.search_settings import SearchSettings
    from launch.trial.data import TrialData, TrialError
    from launch.trial.ladder import ladder
    from launch.trial.result import Outcome, TrialResult
    from launch.trial.run import run_trial

_HOMES = {
    "Front": "launch.report",
    "Outcome": "launch.trial.result",
    "SearchSettings": "launch.study.search_settings",
    "Study": "launch.searches.ask_tell",
    "TrialData": "launch.trial.data",
    "TrialError": "launch.trial.data",
    "TrialResult": "launch.trial.result",
    "ladder": "launch.trial.ladder",
    "load_front": "launch.report",
    "reproduce": "launch.searches.given",
    "resume": "launch.searches",
    "run_trial": "launch.trial.run",
    "run_trials": "launch.searches.given",
    "search": "launch.searches",
}

__all__ = [
    "Front",
    "Outcome",
    "SearchSettings",
    "Study",
    "TrialData",
    "TrialError",
    "TrialResult",
    "ladder",
    "load_front",
    "reproduce",
    "resume",
    "run_trial",
    "run_trials",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'launch' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
