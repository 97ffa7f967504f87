"""The front plot: the first objective against the second, or against a cost, drawn by plotly.

Trials without a value of the first objective lie in a strip below, by how they ended.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plotly import graph_objects as go

from launch.figures import FIGURES, columns, show
from launch.records import SHARED, TrialRecord
from launch.report.certainty import bounds_of
from launch.report.look import (
    BASELINE,
    DENSE,
    FRONT,
    OTHER,
    figure_axis,
    layout,
    plain_axis,
)
from launch.report.points import KINDS, Kind, Sorted, pruned_in, sort_trials
from launch.report.study import StudyView
from launch.trial.result import Outcome
from searchspace.reading import visible

MOST_LINES = 400
"""More inherited weights than this are not drawn: their lines would hide the points."""

MOST_DESIGNS = 1000
"""With more trials than this, designs are shown for the kinds in `NAMED` alone: the table has all
of them."""

NAMED = ("front", "baseline", "published system")
"""Kinds of points with intervals."""


def front_figure(view: StudyView, systems: Mapping[int, str] | None = None) -> go.Figure:
    """Each trial is one point; a pruned one's dense detector is another, joined to it.

    Args:
        systems: names of published systems by the number of their trial.
    """
    found, pruned, figure = sort_trials(view), pruned_in(view), go.Figure()
    if inherited := _inheritance_lines(view):
        figure.add_trace(inherited)
    if pruned:
        figure.add_traces([_pruning_lines(view, pruned), _dense_points(view, pruned)])
    if len(view.objectives) == 2:
        figure.add_trace(_front_line(view))
    for label, records in found.drawn.items():
        if records:
            figure.add_trace(_points(view, records, KINDS[label], systems or {}))
    strip = [label for label, records in found.below.items() if records]
    for label in strip:
        figure.add_trace(_strip(view, found.below[label], KINDS[label]))
    return figure.update_layout(_layout(view, found, strip))


def _axes(view: StudyView, had: Iterable[Outcome | TrialRecord]) -> dict[str, list[float | None]]:
    """The figures of some detectors that the plot shows."""
    vertical, horizontal = view.axes
    pairs = [(one.figure(horizontal), one.figure(vertical)) for one in had]
    return {"x": [x for x, _ in pairs], "y": [y for _, y in pairs]}


def _points(
    view: StudyView, records: Sequence[TrialRecord], kind: Kind, systems: Mapping[int, str]
) -> go.Scatter:
    points = go.Scatter(
        **_axes(view, records),
        mode="markers",
        name=kind.label,
        marker=kind.marker,
        customdata=[record.number for record in records],
        cliponaxis=False,
    )
    if _is_brief(view) and kind.label not in NAMED:
        points.update(hovertemplate=_template(view))
    else:
        texts = [_hover(view, record, systems.get(record.number, "")) for record in records]
        points.update(text=texts, hovertemplate="%{text}<extra></extra>")
    if kind.label in NAMED:
        vertical, horizontal = view.axes
        points.update(
            error_x=_bars(records, horizontal, kind), error_y=_bars(records, vertical, kind)
        )
    if kind.label == "baseline":
        points.update(
            mode="markers+text",
            texttemplate="baseline",
            textposition="bottom center",
            textfont={"color": BASELINE, "size": 13},
        )
    return points


def _bars(records: Sequence[TrialRecord], name: str, kind: Kind) -> dict[str, Any] | None:
    """The 95 % intervals of a figure; None where no trial has one."""
    known = [(r.figure(name), bounds_of(r.finished.final, name)) for r in records]
    if not any(bounds for _, bounds in known):
        return None
    ends = [(v or 0, *(bounds or (v or 0, v or 0))) for v, bounds in known]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - value) for value, _, high in ends],
        "arrayminus": [max(0.0, value - low) for value, low, _ in ends],
        "thickness": 1.1,
        "width": 3,
        "color": kind.marker["color"],
    }


def _strip(view: StudyView, records: Sequence[TrialRecord], kind: Kind) -> go.Scatter:
    """Trials without the first objective, below the plot."""
    _, horizontal = view.axes
    return go.Scatter(
        x=[record.figure(horizontal) for record in records],
        y=[kind.label] * len(records),
        yaxis="y2",
        mode="markers",
        name=kind.label,
        marker=kind.marker,
        text=[_hover(view, record) for record in records],
        customdata=[record.number for record in records],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
    )


def _front_line(view: StudyView) -> go.Scatter:
    """The edge of the region that the front dominates, as steps between members."""
    return go.Scatter(
        **_axes(view, view.front),
        mode="lines",
        line={"shape": "vh", "color": FRONT, "width": 1.5},
        hoverinfo="skip",
    )


def _dense_points(view: StudyView, pruned: Sequence[TrialRecord]) -> go.Scatter:
    dense, names = [record.finished.dense for record in pruned], view.objectives
    points = go.Scatter(
        **_axes(view, dense),
        mode="markers",
        name="before pruning",
        marker=KINDS["before pruning"].marker,
        opacity=0.55,
        customdata=[record.number for record in pruned],
        cliponaxis=False,
    )
    if _is_brief(view):
        return points.update(hovertemplate=_template(view, " before pruning"))
    texts = [
        "<br>".join([f"<b>Trial {record.number} before pruning</b>", *_numbers(outcome, names)])
        for record, outcome in zip(pruned, dense, strict=True)
    ]
    return points.update(text=texts, hovertemplate="%{text}<extra></extra>")


def _pruning_lines(view: StudyView, pruned: Sequence[TrialRecord]) -> go.Scatter:
    return _lines(
        [_axes(view, (record.finished.dense, record.finished.final)) for record in pruned],
        color=DENSE,
        width=1,
    )


def _inheritance_lines(view: StudyView) -> go.Scatter | None:
    """From each trial to that whose weights it inherited; None without, or with too many."""
    scored = {record.number: record for record in view.scored}
    pairs = [(scored[r.parent], r) for r in view.scored if r.parent in scored and r.parent]
    if not 0 < len(pairs) <= MOST_LINES:
        return None
    return _lines([_axes(view, pair) for pair in pairs], color=OTHER, width=1, dash="dot")


def _lines(ends: Sequence[Mapping[str, list[float | None]]], **line: Any) -> go.Scatter:
    """One trace for all: a None ends each line."""
    return go.Scatter(
        **{axis: [v for line in ends for v in (*line[axis], None)] for axis in ("x", "y")},
        mode="lines",
        line=line,
        opacity=0.4,
        hoverinfo="skip",
    )


def _is_brief(view: StudyView) -> bool:
    return len(view.records) > MOST_DESIGNS


def _template(view: StudyView, stage: str = "") -> str:
    """The hover text of any point, filled in by plotly."""
    vertical, horizontal = (FIGURES[name] for name in view.axes)
    return (
        f"<b>Trial %{{customdata}}{stage}</b><br>{vertical.heading} %{{y:.{vertical.digits}f}}<br>"
        f"{horizontal.heading} %{{x:.{horizontal.digits}f}}<extra></extra>"
    )


def _hover(view: StudyView, record: TrialRecord, system: str = "") -> str:
    """The hover text, in plotly's subset of HTML."""
    mark = " (baseline)" if record.origin == "baseline" else ""
    if record.parent is not None:
        shared = record.parent == SHARED
        mark = f" (from {'shared weights' if shared else f'trial {record.parent}'})"
    if record.state != "finished":
        mark += f", {record.state}"
    if system:
        mark += f": {html.escape(visible(system))}"
    numbers = "<br>".join(_numbers(record, columns(view.objectives)))
    title = f"<b>Trial {record.number}{mark}</b>"
    words = html.escape(visible(view.in_words(record))).replace(", ", "<br>")
    return f"{title}<br>{words}<br><br>{numbers}"


def _numbers(had: Outcome | TrialRecord, names: Sequence[str]) -> list[str]:
    known = [(name, had.figure(name)) for name in names]
    return [f"{FIGURES[name].heading} {show(name, v)}" for name, v in known if v is not None]


def _layout(view: StudyView, found: Sorted, strip: Sequence[str]) -> go.Layout:
    vertical, horizontal = view.axes
    dense = [record.finished.dense for record in pruned_in(view)]
    shown = _axes(view, [*(r for records in found.drawn.values() for r in records), *dense])
    beside = [r.figure(horizontal) for records in found.below.values() for r in records]
    axis = dict(figure_axis(vertical, [*shown["y"], *_ends(found, vertical)]))
    across = figure_axis(horizontal, [*shown["x"], *beside, *_ends(found, horizontal)])
    if not strip:
        return layout(xaxis=across, yaxis=axis)
    share = 0.05 + 0.04 * len(strip)
    return layout(
        xaxis={**across, "anchor": "y2"},
        yaxis={**axis, "domain": [share + 0.04, 1]},
        yaxis2=plain_axis("", domain=[0, share], automargin=True, ticks="", showline=True),
    )


def _ends(found: Sorted, name: str) -> Iterator[float]:
    """The ends of all bars that are drawn for a figure."""
    for label in NAMED:
        for record in found.drawn[label]:
            yield from bounds_of(record.finished.final, name) or ()
