"""The points of the front plot: kinds of trials, with their marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launch.records import TrialRecord
from launch.report.look import BASELINE, DENSE, FAILED, FRONT, OTHER, PAPER
from launch.report.study import StudyView


@dataclass(frozen=True)
class Kind:
    """A kind of points, as in the legend.

    Attributes:
        label: in the legend, and the name of its points.
        marker: plotly's.
        shape: the same as the content of an SVG of 16x16.
    """

    label: str
    marker: Mapping[str, Any]
    shape: str


def _kind(label: str, color: str, size: float, symbol: str, shape: str) -> Kind:
    return Kind(label, {"color": color, "size": size, "symbol": symbol}, shape)


DISC, RING = '<circle cx="8" cy="8" r="{}" fill="{}"/>', '<circle cx="8" cy="8" r="4" {}/>'
DIAMOND, SQUARE = "M8 1l7 7-7 7-7-7z", "M3 3h10v10H3z"
CROSS, DOWN = "M3 3l10 10M13 3L3 13", "M3 4h10L8 13z"


def _filled(path: str, color: str) -> str:
    return f'<path d="{path}" fill="{color}"/>'


def _open(path: str, color: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>'


KINDS = {
    kind.label: kind
    for kind in (
        _kind(
            "before pruning", DENSE, 8, "circle-open",
            RING.format(f'fill="none" stroke="{DENSE}" stroke-width="1.3"'),
        ),
        _kind("finished", OTHER, 7, "circle", DISC.format(3.5, OTHER)),
        _kind("violates a constraint", OTHER, 9, "circle-x-open", RING.format(
            f'fill="none" stroke="{OTHER}"') + _open("M5 5l6 6M11 5l-6 6", OTHER)),
        _kind("stopped", OTHER, 9, "triangle-down-open", _open(DOWN, OTHER)),
        _kind("published system", PAPER, 10, "square", _filled(SQUARE, PAPER)),
        _kind("front", FRONT, 12, "circle", DISC.format(6, FRONT)),
        _kind("baseline", BASELINE, 14, "diamond", _filled(DIAMOND, BASELINE)),
        _kind("infeasible", OTHER, 8, "square-open", _open(SQUARE, OTHER)),
        _kind("gated", OTHER, 9, "diamond-open", _open(DIAMOND, OTHER)),
        _kind("failed", FAILED, 8, "x", _open(CROSS, FAILED)),
    )
}  # fmt: skip
"""By label, in the order in which they are drawn over each other."""


@dataclass(frozen=True)
class Sorted:
    """Trials by the kind of their point: in the plot, and in the strip below it."""

    drawn: dict[str, list[TrialRecord]]
    below: dict[str, list[TrialRecord]]


def sort_trials(view: StudyView) -> Sorted:
    """All trials of which at least the second objective is known, or predicted."""
    vertical, horizontal = view.axes
    members = {record.number for record in view.front}
    drawn: dict[str, list[TrialRecord]] = {label: [] for label in KINDS}
    below: dict[str, list[TrialRecord]] = {label: [] for label in KINDS}
    for record in view.records:
        if record.state == "running" or record.figure(horizontal) is None:
            continue
        place = below if record.figure(vertical) is None else drawn
        place[_kind_of(record, members)].append(record)
    return Sorted(drawn, below)


def _kind_of(record: TrialRecord, members: set[int]) -> str:
    if record.state != "finished":
        return record.state
    if record.origin == "baseline":
        return "baseline"
    if record.number in members:
        return "front"
    if record.broken:
        return "violates a constraint"
    return "published system" if record.origin == "paper" else "finished"


def legend_of(view: StudyView) -> list[Kind]:
    """The kinds of points in the plot of a study."""
    found = sort_trials(view)
    return [
        kind
        for label, kind in KINDS.items()
        if found.drawn[label]
        or found.below[label]
        or (label == "before pruning" and pruned_in(view))
    ]


def pruned_in(view: StudyView) -> list[TrialRecord]:
    """The pruned trials, whose dense detector is a point of its own."""
    return [record for record in view.scored if record.finished.config.compress.prunes]
