"""The verdict on a study in sentences: its best trials, what the baseline is worth, what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from launch.figures import (
    FIGURES,
    FigureName,
    show,
    show_change,
    with_name,
    with_unit,
)
from launch.pareto import dominates
from launch.records import EARLY, TrialRecord
from launch.report.certainty import NAMED, certainty
from launch.report.epochs import warning
from launch.report.savings import savings
from launch.report.study import StudyView
from searchspace.words import counted, numbered

LITTLE = 0.02
"""Accuracy below which a detector has learnt next to nothing: gains over it mean nothing."""

REASONS = 3
"""The most reasons of failures that are given."""


def headline(view: StudyView, shortfall: str = "") -> list[str]:
    """The result of a study in sentences: the number of trials, the best ones, whether they were
    trained long enough to be compared, and the savings.

    Args:
        shortfall: why there are fewer trials than were asked for, which follows their number.
    """
    counts, *result = _result(view)
    sure = certainty(view.front)
    return [
        counts,
        *([shortfall] if shortfall else []),
        *result,
        *failures(view),
        *changed_by_int8(view),
        *in_parts(view),
        *by_several(view),
        *compiled(view),
        *sure,
        *warning(view.front),
        *savings(view),
    ]


def failures(view: StudyView) -> list[str]:
    """A sentence on why trials failed, the most common reasons first; none if none failed."""
    reasons: dict[str, list[int]] = {}
    for record in view.in_state("failed"):
        first, *_ = (record.reason or "").strip().splitlines() or ["no reason is known"]
        reasons.setdefault(first, []).append(record.number)
    if not reasons:
        return []
    common = sorted(reasons.items(), key=lambda item: -len(item[1]))
    shown = [f"{_numbered(numbers)}: {reason.rstrip('.')}" for reason, numbers in common[:REASONS]]
    if (rest := len(common) - REASONS) > 0:
        shown.append(f"{counted(rest, 'more reason')} in the table")
    return [f"Failed: {'; '.join(shown)}."]


def _numbered(numbers: Sequence[int]) -> str:
    if len(numbers) <= NAMED:
        return numbered("trial", numbers)
    named = ", ".join(map(str, numbers[:NAMED]))
    return f"trials {named}, ... ({len(numbers)} in all)"


def changed_by_int8(view: StudyView) -> list[str]:
    """A sentence for each trial whose accuracy was changed by int8, up to a few."""
    known = {r.number: r.finished.quantised for r in view.in_state("finished")}
    poor = [(number, found) for number, found in known.items() if found and found.poor]
    sentences = [
        f"Trial {number}: the int8 detector finds different objects from the float one ({found}), "
        "so its accuracy is not that of the design."
        for number, found in poor[:NAMED]
    ]
    if (more := len(poor) - NAMED) > 0:
        sentences.append(f"So it is with {counted(more, 'more trial')}.")
    return sentences


def in_parts(view: StudyView) -> list[str]:
    """A sentence for each number of parts in which trials found that their batches must be."""
    fits = [(r.number, r.finished.fitted) for r in view.in_state("finished")]
    return [
        f"To fit into memory, batches were computed in {parts} parts in {trials}."
        for parts, trials in _where_several((number, fit.accumulate) for number, fit in fits if fit)
    ]


def by_several(view: StudyView) -> list[str]:
    """A sentence for each number of workers, from two on, that trained trials together."""
    finished = view.in_state("finished")
    found = _where_several((r.number, r.finished.workers) for r in finished)
    return [f"Trained by {workers} workers together: {trials}." for workers, trials in found]


def compiled(view: StudyView) -> list[str]:
    """A sentence on the trials that asked for compiled steps: which had them, and why others had
    none; none where no trial asked."""
    trials: dict[str, list[int]] = {}
    for record in view.in_state("finished"):
        for what in sorted({choice.in_words() for choice in record.finished.steps.values()}):
            trials.setdefault(what, []).append(record.number)
    said = [f"{what}: {_numbered(numbers)}" for what, numbers in trials.items()]
    more = len(said) - REASONS
    rest = [f"{counted(more, 'more reason')} in the trials' results"] if more > 0 else []
    return [f"Training steps were {'; '.join([*said[:REASONS], *rest])}."] if said else []


def _where_several(counts: Iterable[tuple[int, int]]) -> list[tuple[int, str]]:
    """Of the numbers of trials with a count of each, the counts above one with their trials in
    words, the smallest first."""
    trials: dict[int, list[int]] = {}
    for number, count in counts:
        if count > 1:
            trials.setdefault(count, []).append(number)
    return [(count, _numbered(numbers)) for count, numbers in sorted(trials.items())]


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
        return f"The baseline was not trained: {baseline.why}."
    if baseline not in view.scored:
        missing = _missing(baseline, view.objectives)
        return f"The baseline has no {FIGURES[missing].label} to compare with."
    name = f"the baseline ({_point(baseline, view.objectives)})"
    if baseline.broken:
        return f"{name[0].upper()}{name[1:]} violates a constraint: {', '.join(baseline.broken)}."
    if len(view.objectives) == 1:
        return _against_one(view, baseline, name)
    if _learnt_little(baseline, view.objectives[0]):
        return _against_little(view, baseline, name)
    undefined = any(_has_no_ratio(baseline, figure) for figure in view.objectives)
    if len(view.objectives) > 2 or undefined:
        return _against_many(view, baseline, name)
    return _against_two(view, baseline, name)


def _against_one(view: StudyView, baseline: TrialRecord, name: str) -> str:
    best = view.front[0]
    if view.heights(best) <= view.heights(baseline):
        return f"No trial does better than {name}."
    return f"The best trial does better than {name}."


def _learnt_little(record: TrialRecord, name: FigureName) -> bool:
    """Whether a trial's accuracy is so near to nothing that any other is far above it."""
    row = FIGURES[name]
    return row.source == "metrics" and row.fraction and record.score(name) < LITTLE


def _has_no_ratio(record: TrialRecord, name: FigureName) -> bool:
    return FIGURES[name].change == "factor" and record.score(name) == 0


def _against_little(view: StudyView, baseline: TrialRecord, name: str) -> str:
    """What the front reaches without losing in the other objectives to a baseline that has learnt
    next to nothing, for which no gain is given."""
    first, *others = view.objectives
    below = view.heights(baseline)[1:]
    kept = [
        record
        for record in view.front
        if all(x >= y for x, y in zip(view.heights(record)[1:], below, strict=True))
        and not _learnt_little(record, first)
    ]
    label = FIGURES[first].label
    said = f"{name[0].upper()}{name[1:]} has learnt next to nothing"
    cost = "speed" if others == ["fps"] else f"worse {_listed(FIGURES[o].label for o in others)}"
    if not kept:
        fast = "as fast as it" if others == ["fps"] else f"without a {cost}"
        return f"{said}, and no trial {fast} has {_some(first)} of {show(first, LITTLE)} or more."
    best = max(kept, key=view.heights)
    without = "at no less speed" if others == ["fps"] else f"without a {cost}"
    return (
        f"{said} ({label} below {show(first, LITTLE)}), so a gain over it would say little; "
        f"{without}, the front reaches {_point(best, view.objectives)}."
    )


def _against_two(view: StudyView, baseline: TrialRecord, name: str) -> str:
    """The front's gain in each objective without loss in the other."""
    first, second = view.objectives
    score, speed = view.heights(baseline)
    # The baseline is on the front or below it, so both hold at least one trial.
    as_fast = max((r for r in view.front if view.heights(r)[1] >= speed), key=view.heights)
    as_good = max(
        (r for r in view.front if view.heights(r)[0] >= score), key=lambda r: view.heights(r)[1]
    )
    gains = []
    if view.heights(as_fast)[0] > score:
        gains.append(_gain(as_fast, baseline, first, second))
    if view.heights(as_good)[1] > speed and not (gains and as_good is as_fast):
        gains.append(_gain(as_good, baseline, second, first))
    if not gains:
        return f"No trial does better than {name} in one objective without losing in the other."
    return f"Compared with {name}, the front reaches {' and '.join(gains)}."


def _against_many(view: StudyView, baseline: TrialRecord, name: str) -> str:
    """The number of front members that are not worse than the baseline in any objective."""
    below = view.heights(baseline)
    better = sum(dominates(view.heights(record), below) for record in view.front)
    if not better:
        return f"No trial does better than {name} in one objective without losing in another."
    who = f"{counted(better, 'trial')} of the front {'does' if better == 1 else 'do'}"
    return f"{who} better than {name} in one objective or more without losing in another."


def _gain(record: TrialRecord, baseline: TrialRecord, first: FigureName, second: FigureName) -> str:
    one, two = (_changed(record, baseline, name) for name in (first, second))
    return f"{one} at {two} (trial {record.number})"


def _changed(record: TrialRecord, baseline: TrialRecord, name: FigureName) -> str:
    """A difference of accuracy, such as `+0.120 AP_small`, or a ratio, such as `2.0 x its FPS`."""
    row, change = FIGURES[name], show_change(name, baseline.score(name), record.score(name))
    return f"{change} {'its ' if row.change == 'factor' else ''}{row.label}"


def _counts(view: StudyView) -> str:
    counts = view.counts()
    finished, failed, running = counts["finished"], counts["failed"], counts["running"]
    if not finished:
        ended = failed or any(counts[state] for state in EARLY)
        text = "No trial has finished yet" if running or not ended else "No trial finished"
    else:
        text = f"{counted(finished, 'trial')} finished"
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
    bests = [view.best(name) for name in names]
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


def _listed(labels: Iterable[str]) -> str:
    return " or ".join(labels)


def _some(name: FigureName) -> str:
    label = FIGURES[name].label
    return f"an {label}" if label.startswith("A") else f"a value of {label}"
