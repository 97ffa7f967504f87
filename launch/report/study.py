"""What a report says of a study: its front, its best, how it stands against its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import get_args

from launch.front import front, hypervolume, log_fps
from launch.records import UNTRAINED, State, TrialRecord
from launch.report.words import LABELS, factor, show, show_seconds
from launch.trial import Outcome

REFERENCE = (0.0, log_fps(1.0))
"""The hypervolume's reference point: AP_small 0 at one frame a second."""


@dataclass(frozen=True)
class StudyView:
    """The trials of a study, sorted.

    Attributes:
        records: all of them, by number.
        scored: the finished ones with a value for each objective. A validation split without
            small objects gives no AP_small.
        front: those of `scored` that keep all constraints and that no other of these dominates,
            best AP_small first.
    """

    records: tuple[TrialRecord, ...]
    scored: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]

    @classmethod
    def of(cls, records: Sequence[TrialRecord]) -> StudyView:
        ordered = tuple(sorted(records, key=lambda record: record.number))
        scored = tuple(r for r in ordered if r.objectives and None not in r.objectives)
        kept = [record for record in scored if not record.broken]
        indices = front([record.objectives for record in kept])
        return cls(ordered, scored, tuple(kept[i] for i in indices))

    @property
    def baseline(self) -> TrialRecord | None:
        return next((r for r in self.records if r.origin == "baseline"), None)

    @property
    def hypervolume(self) -> float:
        """Area of the front above `REFERENCE`, in AP_small times the logarithm of FPS."""
        points = [(ap, log_fps(fps)) for ap, fps in (r.objectives for r in self.front)]
        return hypervolume(points, REFERENCE)

    def in_state(self, state: State) -> tuple[TrialRecord, ...]:
        return tuple(record for record in self.records if record.state == state)

    def counts(self) -> dict[State, int]:
        """How many trials there are in each state."""
        return {state: len(self.in_state(state)) for state in get_args(State)}

    @property
    def untrained(self) -> tuple[TrialRecord, ...]:
        """Those that ended before training."""
        return tuple(record for record in self.records if record.state in UNTRAINED)


def figure_of(outcome: Outcome, name: str) -> float | None:
    """A metric or cost of a detector by its name."""
    return {**dict(outcome.metrics), **dict(outcome.cost)}[name]


def headline(view: StudyView) -> list[str]:
    """The result of a study in sentences: how many trials, the best of them, what was saved."""
    return [*_result(view), *savings(view)]


def savings(view: StudyView) -> list[str]:
    """What ending trials early has saved, in sentences; none where none ended early."""
    if not view.untrained:
        return []
    count = len(view.untrained)
    text = f"{count} design{'s' if count > 1 else ''} ended before training"
    if finished := view.in_state("finished"):
        spent = sum(record.seconds for record in view.untrained)
        saved = max(0.0, count * mean(record.seconds for record in finished) - spent)
        text += f"; saved about {show_seconds(saved)}"
    return [text + "."]


def _result(view: StudyView) -> list[str]:
    if view.front:
        return [_counts(view), _extremes(view.front), against_baseline(view)]
    if view.scored:
        return [_counts(view), "None of them keeps to all constraints, so there is no front."]
    if view.in_state("finished"):
        return [
            _counts(view),
            "None has an AP_small, so there is no front: the validation split has no small "
            "objects.",
        ]
    return [_counts(view)]


def against_baseline(view: StudyView) -> str:
    """How the front compares with the baseline, in one sentence."""
    baseline = view.baseline
    if baseline is None:
        return "There is no baseline trial to compare with."
    if baseline.state == "failed":
        return "The baseline failed, so there is nothing to compare the front with."
    if baseline.state == "running":
        return "The baseline has not finished yet."
    if baseline.state == "infeasible":
        return f"The baseline was not trained: not {', not '.join(baseline.broken)}."
    if baseline not in view.scored:
        return "The baseline has no AP_small to compare with."
    score, fps = baseline.objectives
    name = f"the baseline ({_point(baseline)})"
    if baseline.broken:
        return f"{name[0].upper()}{name[1:]} breaks a constraint: {', '.join(baseline.broken)}."
    # The baseline is on the front or below it, so both hold at least one trial.
    as_fast = max((r for r in view.front if r.objectives[1] >= fps), key=lambda r: r.objectives[0])
    as_good = max(
        (r for r in view.front if r.objectives[0] >= score), key=lambda r: r.objectives[1]
    )
    if score == 0:
        return _against_zero(name, as_fast)
    gains = []
    if as_fast.objectives[0] > score:
        gains.append(_gain(as_fast, baseline, "ap_small", "fps"))
    if as_good.objectives[1] > fps and not (gains and as_good is as_fast):
        gains.append(_gain(as_good, baseline, "fps", "ap_small"))
    if not gains:
        return f"No trial does better than {name} in one objective without losing in the other."
    return f"Against {name} the front reaches {' and '.join(gains)}."


def _against_zero(name: str, as_fast: TrialRecord) -> str:
    if as_fast.objectives[0] == 0:
        return f"No trial as fast as {name} has an AP_small above 0."
    return (
        f"No ratio to {name} can be given, as its AP_small is 0; at least as fast as that, the "
        f"front reaches {_point(as_fast)}."
    )


def _gain(record: TrialRecord, baseline: TrialRecord, first: str, second: str) -> str:
    one, two = (
        f"{factor(record.result.figure(name), baseline.result.figure(name))} its {LABELS[name]}"
        for name in (first, second)
    )
    return f"{one} at {two} (trial {record.number})"


def _counts(view: StudyView) -> str:
    counts = view.counts()
    finished, failed, running = counts["finished"], counts["failed"], counts["running"]
    if not finished:
        ended = failed or view.untrained
        text = "No trial has finished yet" if running or not ended else "No trial finished"
    else:
        text = f"{_trials(finished)} finished"
    broken = sum(bool(record.broken) for record in view.in_state("finished"))
    numbers = (
        (broken, "break a constraint"),
        (failed, "failed"),
        (running, "still running"),
        *((counts[state], state) for state in UNTRAINED),
    )
    others = [f"{n} {word}" for n, word in numbers if n]
    if others:
        text += f" ({', '.join(others)})"
    if view.front:
        text += f"; {len(view.front)} {'is' if len(view.front) == 1 else 'are'} on the front"
    return text + "."


def _extremes(members: Sequence[TrialRecord]) -> str:
    best, fastest = members[0], members[-1]
    if best is fastest:
        return f"One is best in both objectives: {_point(best)}."
    (score, fps), (low, high) = best.objectives, fastest.objectives
    return (
        f"The best AP_small is {show('ap_small', score)}, at {show('fps', fps)} FPS "
        f"(trial {best.number}); the fastest runs at {show('fps', high)} FPS with AP_small "
        f"{show('ap_small', low)} (trial {fastest.number})."
    )


def _point(record: TrialRecord) -> str:
    score, fps = record.objectives
    return f"trial {record.number}, AP_small {show('ap_small', score)} at {show('fps', fps)} FPS"


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"
