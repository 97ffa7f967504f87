"""The result of a study: its front, its best trials, and the comparison with the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Any

from launch.figures import (
    DEFAULT,
    FIGURES,
    FigureName,
    factor,
    height,
    heights,
    if_known,
    with_name,
    with_unit,
)
from launch.pareto import dominates, front, hypervolume
from launch.records import EARLY, STATES, UNTRAINED, State, TrialRecord
from launch.report.certainty import certainty
from launch.report.epochs import warning
from launch.report.words import design_in_words, show_seconds


@dataclass(frozen=True)
class StudyView:
    """The trials of a study, sorted.

    Attributes:
        records: all of them, by number.
        scored: the finished ones with a value for each objective. A validation split without
            small objects gives no AP_small.
        front: those of `scored` that satisfy all constraints and are not dominated by another such
            trial, best in the first objective first.
        objectives: sentences are about the first two.
    """

    records: tuple[TrialRecord, ...]
    scored: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    objectives: tuple[FigureName, ...] = DEFAULT

    @classmethod
    def of(
        cls, records: Sequence[TrialRecord], objectives: tuple[FigureName, ...] = DEFAULT
    ) -> StudyView:
        ordered = tuple(sorted(records, key=lambda record: record.number))
        scored = tuple(r for r in ordered if r.values(objectives))
        kept = [record for record in scored if not record.broken]
        indices = front([heights(objectives, record.scores(objectives)) for record in kept])
        return cls(ordered, scored, tuple(kept[i] for i in indices), objectives)

    @property
    def baseline(self) -> TrialRecord | None:
        return next((r for r in self.records if r.origin == "baseline"), None)

    @property
    def axes(self) -> tuple[FigureName, FigureName]:
        """The figures that the plot shows upwards and to the right: the first two objectives, or
        the only one and a cost that every trial has."""
        vertical, horizontal, *_ = dict.fromkeys((*self.objectives, "fps", "params"))
        return vertical, horizontal

    @property
    def hypervolume(self) -> float | None:
        """Hypervolume of the front above the objectives' references, by logarithms where ratios
        count; None where an objective has no reference."""
        references = if_known(FIGURES[name].reference for name in self.objectives)
        if references is None:
            return None
        points = [self.heights(record) for record in self.front]
        return hypervolume(points, heights(self.objectives, references))

    def heights(self, record: TrialRecord) -> tuple[float, ...]:
        """A scored trial's objectives on scales on which more is better."""
        return heights(self.objectives, record.scores(self.objectives))

    def in_state(self, state: State) -> tuple[TrialRecord, ...]:
        return tuple(record for record in self.records if record.state == state)

    def counts(self) -> dict[State, int]:
        """The number of trials in each state."""
        return {state: len(self.in_state(state)) for state in STATES}

    def in_words(self, record: TrialRecord) -> str:
        """The design of a trial in words, without how it is run where all are run alike."""
        return design_in_words(record.config, alike=self._run_alike)

    @cached_property
    def _run_alike(self) -> bool:
        return len({record.config.measure for record in self.records}) <= 1

    @property
    def untrained(self) -> tuple[TrialRecord, ...]:
        """The trials that ended before training."""
        return tuple(record for record in self.records if record.state in UNTRAINED)


def headline(view: StudyView) -> list[str]:
    """The result of a study in sentences: the number of trials, the best ones, whether they were
    trained long enough to be compared, and the savings."""
    sure = certainty(view.front)
    return [
        *_result(view),
        *changed_by_int8(view),
        *in_parts(view),
        *sure,
        *warning(view.front),
        *savings(view),
    ]


def changed_by_int8(view: StudyView) -> list[str]:
    """A sentence for each trial whose accuracy was changed by int8."""
    poor = {r.number: r.finished.quantised for r in view.in_state("finished")}
    return [
        f"Trial {number}: the int8 detector finds different objects from the float one ({found}), "
        "so its accuracy is not that of the design."
        for number, found in poor.items()
        if found and found.poor
    ]


def in_parts(view: StudyView) -> list[str]:
    """A sentence for each number of parts in which trials found that their batches must be."""
    trials: dict[int, list[str]] = {}
    for record in view.in_state("finished"):
        fit = record.finished.fitted
        if fit and fit.accumulate > 1:
            trials.setdefault(fit.accumulate, []).append(str(record.number))
    return [
        f"To fit into memory, batches were computed in {parts} parts in "
        f"{'trials' if len(numbers) > 1 else 'trial'} {', '.join(numbers)}."
        for parts, numbers in sorted(trials.items())
    ]


def savings(view: StudyView) -> list[str]:
    """The savings by ending trials early, in sentences; empty if none ended early."""
    sentences = []
    if count := len(view.untrained):
        text = f"{count} design{'s' if count > 1 else ''} ended before training"
        if finished := view.in_state("finished"):
            spent = sum(record.seconds for record in view.untrained)
            saved = max(0.0, count * mean(record.seconds for record in finished) - spent)
            text += f"; saved about {show_seconds(saved)}"
        sentences.append(text + ".")
    if stopped := view.in_state("stopped"):
        saved = epochs_saved(view)
        epochs = "1 epoch" if saved == 1 else f"{saved} epochs"
        sentences.append(f"{_trials(len(stopped))} stopped early; saved {epochs} of training.")
    return sentences


def epochs_saved(view: StudyView) -> int:
    """Epochs saved by stopping trials, except those that another trial was trained for.

    Trials that share a training save it once, and the second part for each of them.
    """
    trained = {record.training for record in view.in_state("finished")}
    saved: dict[tuple[Any, ...], int] = {}
    followed = 0
    for record in view.in_state("stopped"):
        cause, (epochs, more) = record.training, record.config.epochs
        left = epochs - max(record.midway)
        if cause not in trained:
            saved[cause] = min(left, saved.get(cause, left))
        followed += more
    return sum(saved.values()) + followed


def _result(view: StudyView) -> list[str]:
    if view.front:
        given = any(record.origin == "given" for record in view.records)
        compared = [] if given else [against_baseline(view)]
        return [_counts(view), _extremes(view), *compared]
    if view.scored:
        return [_counts(view), "None of them satisfies all constraints, so there is no front."]
    if view.in_state("finished"):
        missing = _missing(view.in_state("finished")[0], view.objectives)
        size = FIGURES[missing].objects
        why = f": the validation split has no {size} objects." if size not in (None, "any") else "."
        return [_counts(view), f"None has {_some(missing)}, so there is no front{why}"]
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
        missing = _missing(baseline, view.objectives)
        return f"The baseline has no {FIGURES[missing].label} to compare with."
    name = f"the baseline ({_point(baseline, view.objectives)})"
    if baseline.broken:
        return f"{name[0].upper()}{name[1:]} violates a constraint: {', '.join(baseline.broken)}."
    if len(view.objectives) == 1:
        return _against_one(view, baseline, name)
    zero = 0 in baseline.scores(view.objectives)
    if len(view.objectives) > 2 or (zero and view.objectives[1] != "fps"):
        return _against_many(view, baseline, name)
    return _against_two(view, baseline, name)


def _against_one(view: StudyView, baseline: TrialRecord, name: str) -> str:
    best = view.front[0]
    if view.heights(best) <= view.heights(baseline):
        return f"No trial does better than {name}."
    return f"The best trial does better than {name}."


def _against_two(view: StudyView, baseline: TrialRecord, name: str) -> str:
    """The front's gain in each objective without loss in the other."""
    first, second = view.objectives
    score, speed = view.heights(baseline)
    # The baseline is on the front or below it, so both hold at least one trial.
    as_fast = max((r for r in view.front if view.heights(r)[1] >= speed), key=view.heights)
    as_good = max(
        (r for r in view.front if view.heights(r)[0] >= score), key=lambda r: view.heights(r)[1]
    )
    if baseline.finished.figure(first) == 0:
        return _against_zero(view, name, as_fast)
    gains = []
    if view.heights(as_fast)[0] > score:
        gains.append(_gain(as_fast, baseline, first, second))
    if view.heights(as_good)[1] > speed and not (gains and as_good is as_fast):
        gains.append(_gain(as_good, baseline, second, first))
    if not gains:
        return f"No trial does better than {name} in one objective without losing in the other."
    return f"Compared with {name}, the front reaches {' and '.join(gains)}."


def _against_zero(view: StudyView, name: str, as_fast: TrialRecord) -> str:
    first = view.objectives[0]
    if as_fast.finished.figure(first) == 0:
        return f"No trial as fast as {name} has {_some(first)} above 0."
    return (
        f"There is no ratio to {name}, as its {FIGURES[first].label} is 0; at no less speed, the "
        f"front reaches {_point(as_fast, view.objectives)}."
    )


def _against_many(view: StudyView, baseline: TrialRecord, name: str) -> str:
    """The number of front members that are not worse than the baseline in any objective."""
    below = view.heights(baseline)
    better = sum(dominates(view.heights(record), below) for record in view.front)
    if not better:
        return f"No trial does better than {name} in one objective without losing in another."
    return (
        f"{_trials(better)} of the front {'does' if better == 1 else 'do'} better than {name} in "
        "one objective or more without losing in another."
    )


def _gain(record: TrialRecord, baseline: TrialRecord, first: FigureName, second: FigureName) -> str:
    one, two = (
        f"{factor(record.score(name), baseline.score(name))} its {FIGURES[name].label}"
        for name in (first, second)
    )
    return f"{one} at {two} (trial {record.number})"


def _counts(view: StudyView) -> str:
    counts = view.counts()
    finished, failed, running = counts["finished"], counts["failed"], counts["running"]
    if not finished:
        ended = failed or any(counts[state] for state in EARLY)
        text = "No trial has finished yet" if running or not ended else "No trial finished"
    else:
        text = f"{_trials(finished)} finished"
    broken = sum(bool(record.broken) for record in view.in_state("finished"))
    numbers = (
        (broken, "violate a constraint"),
        (failed, "failed"),
        (running, "still running"),
        *((counts[state], state) for state in EARLY),
    )
    others = [f"{n} {word}" for n, word in numbers if n]
    if others:
        text += f" ({', '.join(others)})"
    if view.front:
        text += f"; {len(view.front)} {'is' if len(view.front) == 1 else 'are'} on the front"
    return text + "."


def _extremes(view: StudyView) -> str:
    """The best front member in each objective."""
    names = view.objectives
    if len(names) == 1:
        return f"The best is {_point(view.front[0], names)}."
    bests = [_highest(view.front, name) for name in names]
    if all(best is bests[0] for best in bests):
        every = "both" if len(names) == 2 else "all"
        return f"One is best in {every} objectives: {_point(bests[0], names)}."
    if len(names) > 2:
        pairs = zip(names, bests, strict=True)
        parts = (f"{_best(name, record)} (trial {record.number})" for name, record in pairs)
        return _sentence("; ".join(parts))
    (one, two), (first, second) = bests, names
    return _sentence(
        f"{_best(first, one)}, at {with_name(second, one.finished.figure(second))} "
        f"(trial {one.number}); {_best(second, two)} with "
        f"{with_name(first, two.finished.figure(first))} (trial {two.number})"
    )


def _highest(records: Sequence[TrialRecord], name: FigureName) -> TrialRecord:
    return max(records, key=lambda record: height(name, record.score(name)))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _best(name: FigureName, record: TrialRecord) -> str:
    value = with_unit(name, record.finished.figure(name))
    return (
        f"the fastest runs at {value}"
        if name == "fps"
        else f"the best {FIGURES[name].label} is {value}"
    )


def _point(record: TrialRecord, objectives: Sequence[FigureName]) -> str:
    words = [with_name(name, record.finished.figure(name)) for name in objectives]
    return f"trial {record.number}, {(' at ' if len(words) == 2 else ', ').join(words)}"


def _missing(record: TrialRecord, objectives: Sequence[FigureName]) -> FigureName:
    """The first objective for which a finished trial has no value."""
    return next(name for name in objectives if record.finished.figure(name) is None)


def _some(name: FigureName) -> str:
    label = FIGURES[name].label
    return f"an {label}" if label.startswith("A") else f"a value of {label}"


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"
