"""What a name on the command line stands for: a system of a paper, a trial, a saved detector."""

from __future__ import annotations

import difflib
from pathlib import Path

import torch
from pydantic import ValidationError

from detectors.detector import Detector
from searchspace import Published, TrialConfig, papers


def find_trial(name: str) -> tuple[TrialConfig, Published | None]:
    """The trial of a paper's system, with what was published of it, or that of a file.

    Raises:
        ValueError: there is no such system or file, or the file is no trial.
    """
    if name in papers:
        return papers[name].trial, papers[name].published
    if Path(name).exists():
        return read_trial(Path(name)), None
    near = ", ".join(difflib.get_close_matches(name, papers, n=5, cutoff=0.0))
    raise ValueError(f"{name}: neither a file nor a paper's system; the nearest are {near}")


def find_detector(name: str) -> Detector:
    """The saved detector of a folder, or else the untrained one of a trial; see `find_trial`."""
    if Path(name).is_dir():
        return Detector.load(Path(name))
    trial, _ = find_trial(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial.seed)
        return Detector(trial.detector).eval()


def read_trial(path: Path) -> TrialConfig:
    """A trial's configuration; raises `ValueError` where the file holds none."""
    try:
        return TrialConfig.model_validate_json(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {in_words(error)}") from None


def in_words(error: ValidationError) -> str:
    """Every problem of a configuration with the field that it is about."""
    problems = ((".".join(map(str, e["loc"])), e["msg"]) for e in error.errors())
    return "; ".join(": ".join(filter(None, problem)) for problem in problems)
