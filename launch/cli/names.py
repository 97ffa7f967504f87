"""Names of detectors on the command line: papers' systems, trials, saved detectors."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from detectors.detector import Detector
from launch.files import SETTINGS, TRIALS
from searchspace import DetectorConfig, Published, TrialConfig
from searchspace.errors import InputError, UnknownName
from searchspace.papers import nearest_system, system_named
from searchspace.reading import read_model
from searchspace.walk import field_names


def find_system(name: str) -> tuple[DetectorConfig | Detector, Published | None]:
    """The detector of a paper's system, a trial's file or a folder, with its published figures.

    Raises:
        InputError: there is no such system, file or folder, or it holds no detector.
    """
    system = None if Path(name).is_file() else system_named(name)
    if system is None and Path(name).is_dir():
        return saved_detector(Path(name)), None
    return find_trial(name).detector, system.published if system else None


def find_trial(name: str) -> TrialConfig:
    """The trial in a file, or that of a paper's system; a file comes first.

    Raises:
        InputError: there is neither, where the nearest system is named, or the file holds no trial.
    """
    if Path(name).is_file():
        return read_trial(Path(name))
    if system := system_named(name):
        return system.trial
    if Path(name).is_dir():
        raise InputError(f"{name} is a folder; give a file, or the name of a paper's system")
    words = f"{name}: neither a file nor a paper's system{nearest_system(name)}"
    raise InputError(words) if Path(name).suffix or os.sep in name else UnknownName(words)


def find_detector(name: str) -> Detector:
    """The detector of `find_system`, untrained unless it was saved."""
    found, _ = find_system(name)
    if isinstance(found, Detector):
        return found
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Detector(found).eval()


def saved_detector(folder: Path) -> Detector:
    """The detector saved in a folder; raises `ValueError` if there is none.

    If it lies in a study, the study's plugins are loaded first.
    """
    load_plugins_around(folder)
    return Detector.load(folder)


def read_trial(path: Path) -> TrialConfig:
    """A trial's configuration; raises `Unreadable`, a `ValueError`, if the file holds none.

    If it lies in a study, the study's plugins are loaded first.
    """
    load_plugins_around(path)
    return read_model(path, TrialConfig, fields=field_names(TrialConfig))


def load_plugins_around(path: Path) -> None:
    """Load the plugins of the study whose trials a path lies among, if there is one."""
    for folder in path.absolute().parents:
        if folder.name == TRIALS and (folder.parent / SETTINGS).exists():
            from launch.study.settings import load_study_plugins  # Optuna: only for a study's.

            load_study_plugins(folder.parent)
