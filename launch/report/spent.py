"""Where a study's device time went, and what was saved of it."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from launch.files import MANIFEST
from launch.files import STAGES as STAGE_STORE
from launch.records import STATES, TrialRecord
from launch.report.progress import STAGES
from launch.report.savings import savings
from launch.report.study import StudyView
from launch.report.words import show_seconds
from launch.trial.store import Manifest
from searchspace.words import counted

ORDER = ("predict", "train", "rung", "prune", "finetune", "quantise", "evaluate", "measure")
"""The stages in the order in which a trial runs them."""

REST = "starting, waiting, failed attempts"
"""The device time that no artefact tells of."""


@dataclass(frozen=True)
class Share:
    """The trials of one state, and their part of the device time."""

    state: str
    trials: int
    seconds: float
    share: float


def shares(view: StudyView) -> list[Share]:
    """The device time by the state of trials; empty if none was used."""
    total = sum(record.seconds for record in view.records)
    if not total:
        return []
    found = []
    for state in STATES:
        if records := view.in_state(state):
            seconds = sum(record.seconds for record in records)
            found.append(Share(state, len(records), seconds, seconds / total))
    return found


@dataclass(frozen=True)
class StageCost:
    """A stage of trials, or what is left over.

    Attributes:
        artefacts: how many times it was computed; None for what is left over.
        share: of the device time of all trials.
    """

    stage: str
    artefacts: int | None
    seconds: float
    share: float


def stage_costs(folder: Path, view: StudyView) -> list[StageCost]:
    """The device time of a study by stage, as its stored artefacts tell; empty if there are none.

    Args:
        folder: the study's.
    """
    counts, seconds = _stages_in(folder)
    total = sum(record.seconds for record in view.records)
    if not counts or not total:
        return []
    # A training is scored at its rungs while it runs.
    seconds["train"] = max(0.0, seconds["train"] - seconds["rung"])
    order = [name for name in ORDER if name in counts]
    order += sorted(counts.keys() - set(order))
    costs = [
        StageCost(STAGES.get(name, name), counts[name], seconds[name], seconds[name] / total)
        for name in order
    ]
    rest = total - sum(seconds.values())
    return [*costs, StageCost(REST, None, rest, rest / total)] if rest >= 1 else costs


def _stages_in(folder: Path) -> tuple[Counter[str], defaultdict[str, float]]:
    """By stage, the number of a study's artefacts and the seconds that they took."""
    counts, seconds = Counter[str](), defaultdict[str, float](float)
    for file in folder.glob(f"{STAGE_STORE}/*/{MANIFEST}"):
        with contextlib.suppress(OSError, ValidationError):  # The next trial makes it again.
            found = Manifest.model_validate_json(file.read_bytes())
            counts[found.stage] += 1
            seconds[found.stage] += found.seconds
    return counts, seconds


def saved_in_words(view: StudyView) -> list[str]:
    """What gate, bounds, early stopping and shared trainings saved, in sentences."""
    sentences = savings(view)
    shared, seconds = _shared(view)
    if shared:
        who = counted(shared, "trial")
        text = f"{who} took a training from another one, as the ladder of pruning does"
        sentences.append(f"{text}; saved about {show_seconds(seconds)}.")
    return sentences


def _shared(view: StudyView) -> tuple[int, float]:
    """The finished trials that took another's training, and the seconds by which they were
    shorter than the first trial with it."""
    first: dict[tuple[object, ...], TrialRecord] = {}
    count, saved = 0, 0.0
    for record in view.in_state("finished"):
        before = first.setdefault(record.training, record)
        if before is not record:
            count += 1
            saved += max(0.0, before.seconds - record.seconds)
    return count, saved
