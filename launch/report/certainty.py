"""How far figures can be told apart: their intervals, and the detections that are scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from detectors.evaluate import BOUNDED
from detectors.evaluation.coco import AGREEMENT, REFEREE
from detectors.evaluation.intervals import Interval
from launch.figures import FIGURES, show
from launch.records import TrialRecord
from launch.trial.result import Outcome
from searchspace.measuring import COCO_DETECTIONS
from searchspace.words import numbered

NAMED = 5
"""The most pairs of trials that are named."""


def interval_of(outcome: Outcome, name: str) -> Interval | None:
    """The interval of a figure; None where it has none, or an earlier version scored it."""
    return outcome.metrics.intervals.get(name)


def bounds_of(outcome: Outcome, name: str) -> tuple[float, float] | None:
    """The ends of a figure's 95 % interval: over the images for accuracy, over the passes of the
    measurement for FPS; None where it has none."""
    if name == "fps":
        low, high = outcome.cost.fps_low, outcome.cost.fps_high
        return None if low is None or high is None else (low, high)
    interval = interval_of(outcome, name)
    return None if interval is None else (interval.low, interval.high)


def show_bounded(outcome: Outcome, name: str) -> str:
    """An accuracy with its 95 % interval, such as `0.123 (0.101-0.146)`, where it has one; any
    other figure alone, as tables are narrow."""
    if name not in BOUNDED:
        return show(name, outcome.figure(name))
    return show_within(outcome, name)


def show_within(outcome: Outcome, name: str) -> str:
    """A figure with its 95 % interval, FPS as well, where it has one."""
    text, bounds = show(name, outcome.figure(name)), bounds_of(outcome, name)
    if bounds is None:
        return text
    low, high = (show(name, value) for value in bounds)
    return f"{text} ({low}-{high})"


def certainty(records: Sequence[TrialRecord]) -> list[str]:
    """Sentences on the figures of trials that have a result: how many detections are scored where
    that is not COCO's number, whether pycocotools confirms them, and which trials differ by chance
    alone."""
    return [*scored_in_words(records), *_refereed(records), *_alike(records)]


def referee_in_words(difference: float | str | None) -> str:
    """What pycocotools says of a trial's figures, see `Metrics.referee`."""
    if isinstance(difference, str):
        return f"not checked: {difference}"
    if difference is None:
        return "not checked"
    return "confirmed" if difference <= AGREEMENT else f"differs by {difference:.2g}"


def _refereed(records: Sequence[TrialRecord]) -> list[str]:
    """Sentences on what pycocotools says of the figures."""
    by_words: dict[str, list[int]] = {}
    for record in records:
        difference = record.finished.final.metrics.referee
        if difference is not None:
            by_words.setdefault(referee_in_words(difference), []).append(record.number)
    return [
        f"AP and AR by {REFEREE}, {numbered('trial', numbers)}: {words}."
        for words, numbers in by_words.items()
    ]


def scored_in_words(records: Sequence[TrialRecord]) -> list[str]:
    """A sentence where not all figures are with COCO's number of detections."""
    numbers = sorted({r.finished.final.metrics.max_detections for r in records})
    if numbers in ([], [COCO_DETECTIONS]):
        return []
    if len(numbers) > 1:
        named = ", ".join(map(str, numbers))
        return [
            f"Trials are scored with different numbers of detections on an image ({named}), so "
            "their accuracy cannot be compared."
        ]
    return [
        f"AP and AR are with up to {numbers[0]} detections of a class on an image "
        f"(measure.max_detections), not with COCO's {COCO_DETECTIONS}."
    ]


def _alike(records: Sequence[TrialRecord]) -> list[str]:
    """A sentence for each set of pairs that do not differ beyond chance, with its figures."""
    figures: dict[tuple[str, ...], list[str]] = {}
    for name in BOUNDED:
        pairs = tuple(
            f"{one.number} and {other.number}"
            for one, other in combinations(records, 2)
            if _differ(one.finished.final, other.finished.final, name) is False
        )
        if pairs:
            figures.setdefault(pairs, []).append(FIGURES[name].label)
    return [
        f"Trials {', '.join(pairs[:NAMED])}{_more(len(pairs) - NAMED)} do not differ beyond chance "
        f"in {' and '.join(labels)}: on 1,000 draws of validation images, 95 % of the differences "
        "include 0."
        for pairs, labels in figures.items()
    ]


def _more(pairs: int) -> str:
    return f" and {pairs} more pairs" if pairs > 0 else ""


def _differ(one: Outcome, other: Outcome, name: str) -> bool | None:
    mine, others = interval_of(one, name), interval_of(other, name)
    return None if mine is None or others is None else mine.differs(others)
