"""Names of detectors on the command line: papers' systems, trials, saved detectors."""

from __future__ import annotations

import os
from pathlib import Path

from detectors.detector import Detector
from launch.files import SETTINGS, TRAINING, TRIALS
from searchspace import TrialConfig
from searchspace.errors import InputError, UnknownName
from searchspace.fields import field_names
from searchspace.papers import nearest_system, system_named
from searchspace.plugins import load_remembered
from searchspace.reading import parse_json, read_model, read_text

BEGIN_AGAIN = "give the command again with which it began"
"""What to do about the damaged file of a long training."""


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
    """Load the plugins of the study whose trials a path lies among, or of the long training that a
    path lies in, if there is one."""
    if study := study_around(path):
        from launch.study.settings import load_study_plugins  # Optuna: only for a study's.

        load_study_plugins(study)
        return
    files = (folder / TRAINING for folder in path.absolute().parents)
    if training := next((file for file in files if file.exists()), None):
        load_training_plugins(training)


def load_training_plugins(file: Path) -> None:
    """Load the plugins of a long training, which its file names.

    Raises:
        Unreadable: the file is damaged.
        PluginError: a plugin is missing or broken.
    """
    tree = parse_json(file, read_text(file, BEGIN_AGAIN), BEGIN_AGAIN)
    names = tree.get("plugins", ()) if isinstance(tree, dict) else ()
    load_remembered(map(str, names), f"the training {file.parent}")


def study_around(path: Path) -> Path | None:
    """The folder of the study whose trials a path lies among; None if there is none."""
    folders = (folder for folder in path.absolute().parents if folder.name == TRIALS)
    return next((f.parent for f in folders if (f.parent / SETTINGS).exists()), None)
