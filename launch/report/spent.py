"""Where a study's device time went, and what was saved of it."""

from __future__ import annotations

from dataclasses import dataclass

from launch.records import STATES, TrialRecord
from launch.report.savings import savings
from launch.report.study import StudyView
from launch.report.words import show_seconds
from searchspace.words import counted


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
