"""Models on the command line: a trial of a study, a saved detector's folder, an exported file; and
detectors that are only described."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from detectors.detector import FACTS, Detector, read_facts
from detectors.models import Model, load_model
from detectors.runtimes.targets import target_of
from launch.cli.names import find_trial, load_plugins_around, read_trial, saved_detector
from launch.files import SETTINGS, TRIAL, TRIALS, final_folder, trained_folder
from launch.trial.copies import fetch_detectors, study_place
from searchspace import DetectorConfig, Published
from searchspace.errors import InputError
from searchspace.papers import system_named
from searchspace.words import command

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


def find_system(name: str) -> tuple[DetectorConfig | Detector, Published | None]:
    """The detector of a paper's system, a trial's file, a trial of a study or a folder, with the
    system's published figures. That of a trial is in float32.

    Raises:
        InputError: there is no such system, trial, file or folder, or it holds no detector.
    """
    if is_configuration(name):
        system = None if Path(name).is_file() else system_named(name)
        return find_trial(name).detector, system.published if system else None
    return saved_detector(trained_path(name)), None


def find_detector(name: str) -> Detector:
    """The detector of `find_system`, untrained unless it was saved."""
    found, _ = find_system(name)
    if isinstance(found, Detector):
        return found
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Detector(found).eval()


def is_configuration(name: str) -> bool:
    """Whether a name stands for a trial that is only described: a paper's system, or a trial's
    file."""
    path = Path(name)
    if path.is_file():
        return target_of(path) is None
    return system_named(name) is not None or not (path.is_dir() or trial_folder(name))


def trained_path(name: str) -> Path:
    """The folder of a model whose weights can be read; see `model_path`.

    Raises:
        InputError: there is no such model, or it is an exported file.
    """
    path = model_path(name, trained=True)
    if path.is_file():
        raise InputError(
            f"{path} was exported, and an exported file gives no weights back; give the trial or "
            "the folder that it is from"
        )
    return path


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
    if any(path.glob(f"*/{FACTS}")):
        read_facts(path)  # Without a detector of its own, the error names those in its folders.
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
    listing = command("trials", trials.parent)
    raise InputError(f"{name}: {trials} has no trial {start}; {listing} lists them")


def fetched_name(name: str) -> str:
    """The name of a trial, or a study, at an address as it is in this machine's copy, to which it
    is fetched.

    Raises:
        InputError: the address cannot be used, or the study has no such trial.
    """
    place, mark, arguments = name.partition("?")
    found = re.fullmatch(r"(.+?)(:\d+|/trials/[^/]+)?", place)
    study, trial = (found[1], found[2] or "") if found else (place, "")
    local = f"{study_place('study', f'{study}{mark}{arguments}')}{trial}"
    if trial and (folder := trial_folder(local)):
        fetch_detectors(folder)
    return local


def _instead(folder: Path) -> str:
    """The detectors that a trial does have, as the end of a sentence."""
    found = sorted(str(file.parent) for file in folder.glob(f"*/{FACTS}"))
    return f"; there is {' and '.join(found)}" if found else ""
