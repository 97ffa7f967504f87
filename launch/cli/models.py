"""Models on the command line: a trial of a study, a saved detector's folder, an exported file."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from detectors.detector import FACTS
from detectors.models import Model, load_model
from detectors.runtimes.targets import target_of
from launch.cli.names import load_plugins_around, read_trial
from launch.files import SETTINGS, TRIAL, TRIALS, final_folder, trained_folder
from searchspace.errors import InputError

WAYS = (
    "give a trial (RUN:3 or RUN/trials/0003), the folder of a saved detector, or a file that "
    "sparrow export wrote"
)


def find_model(name: str, device: torch.device | None = None) -> Model:
    """The model with a name, ready to detect; see `model_path`.

    Args:
        device: where a detector in PyTorch runs.

    Raises:
        InputError: there is none, or it cannot be read.
        RuntimeUnavailable: what runs it is not installed.
    """
    path = model_path(name)
    load_plugins_around(path)
    return load_model(path, device)


def model_path(name: str, trained: bool = False) -> Path:
    """The folder or file of a model: `RUN:NUMBER`, a trial's folder, by its whole name or the
    beginning of it, a saved detector's folder, or an exported file.

    Args:
        trained: of a trial, the detector in float32 even if it was quantised afterwards.

    Raises:
        InputError: there is no such model.
    """
    if folder := trial_folder(name):
        config = read_trial(folder / TRIAL)
        found = folder / (trained_folder if trained else final_folder)(config)
        if not found.is_dir():
            raise InputError(
                f"{found}: the trial has no such detector: it has not ended, was stopped or "
                f"failed, or the folder was deleted{_instead(folder)}"
            )
        return found
    path = Path(name)
    if (path / SETTINGS).exists():
        raise InputError(
            f"{name} is a whole study; give one of its trials, such as {name.rstrip('/')}:0"
        )
    if not (path / FACTS).exists() and not (path.is_file() and target_of(path)):
        what = "holds no detector" if path.exists() else "no such model"
        raise InputError(f"{name}: {what}; {WAYS}")
    return path


def trial_folder(name: str) -> Path | None:
    """The folder of the trial that a name stands for; None if it stands for none.

    Raises:
        InputError: the study that it names has no such trial.
    """
    path = Path(name)
    if (path / TRIAL).exists():
        return path
    if path.exists():
        return None
    number = re.fullmatch(r"(.+):(\d+)", name)
    if number:
        trials, start = Path(number[1]) / TRIALS, f"{int(number[2]):04d}"
    elif path.parent.name == TRIALS:
        trials, start = path.parent, path.name
    else:
        return None
    found = sorted(trials.glob(f"{start}*/{TRIAL}")) if trials.is_dir() else []
    if len(found) == 1:
        return found[0].parent
    if not trials.is_dir():
        raise InputError(f"{name}: {trials} is no folder; {WAYS}")
    if found:
        raise InputError(
            f"{name}: several trials begin so: {', '.join(file.parent.name for file in found)}"
        )
    raise InputError(f"{name}: {trials} has no trial {start}; ls {trials} shows what there is")


def _instead(folder: Path) -> str:
    """The detectors that a trial does have, as the end of a sentence."""
    found = sorted(str(file.parent) for file in folder.glob(f"*/{FACTS}"))
    return f"; there is {' and '.join(found)}" if found else ""
