"""The front plot: the first objective against the second, or against a cost, drawn by plotly.

The legend is part of the page around it, so that it wraps on narrow screens.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from plotly import graph_objects as go

from launch.figures import FIGURES, FigureName, columns, show
from launch.records import TrialRecord
from launch.report.study import StudyView
from launch.trial.result import Outcome
from searchspace.reading import visible

# Distinguishable without colour by size and shape; each has a contrast of 3:1 on white and on
# black.
FRONT, OTHER, BASELINE, DENSE = "#2b7fc4", "#8a929b", "#d9690f", "#9a7bb0"
FAINT = "rgba(128, 136, 146, 0.22)"
INK = "#737a82"

CONFIG = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"filename": "front", "scale": 2},
}


def front_plot(view: StudyView) -> str:
    """The plot of a study with scored trials, as HTML that includes plotly.js."""
    return front_figure(view).to_html(
        full_html=False,
        include_plotlyjs=True,
        config=CONFIG,
        div_id="front-plot",
        default_height="100%",
    )


def front_figure(view: StudyView) -> go.Figure:
    """Each scored trial is one point; a pruned one's dense detector is another, joined to it."""
    pruned = _pruned(view)
    members = view.front
    plain = [r for r in view.scored if r not in members and r is not view.baseline]
    figure = go.Figure()
    if pruned:
        figure.add_traces([_pruning_lines(view, pruned), _dense_points(view, pruned)])
    if plain:
        figure.add_trace(_points(view, plain, "finished", color=OTHER, size=7, opacity=0.8))
    if len(view.objectives) == 2:
        figure.add_trace(_front_line(view))
    besides = [record for record in members if record is not view.baseline]
    if besides:
        figure.add_trace(_points(view, besides, "front", color=FRONT, size=12))
    if (baseline := view.baseline) and baseline in view.scored:
        figure.add_trace(_baseline_point(view, baseline))
    figure.update_layout(_layout(view))
    return figure


def _pruned(view: StudyView) -> list[TrialRecord]:
    """The pruned trials, whose dense detector is a point of its own."""
    return [record for record in view.scored if record.finished.config.compress.prunes]


def _axes(view: StudyView, outcomes: Iterable[Outcome]) -> dict[str, list[float | None]]:
    """The figures of some detectors that the plot shows."""
    vertical, horizontal = view.axes
    pairs = [(outcome.figure(horizontal), outcome.figure(vertical)) for outcome in outcomes]
    return {"x": [x for x, _ in pairs], "y": [y for _, y in pairs]}


def _points(
    view: StudyView, records: Sequence[TrialRecord], name: str, **marker: object
) -> go.Scatter:
    return go.Scatter(
        **_axes(view, (record.finished.final for record in records)),
        mode="markers",
        name=name,
        marker=marker,
        text=[_hover(view, record, record.finished.final) for record in records],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
    )


def _baseline_point(view: StudyView, baseline: TrialRecord) -> go.Scatter:
    points = _points(
        view,
        [baseline],
        "baseline",
        color=BASELINE,
        size=14,
        symbol="diamond",
        line={"width": 1.5, "color": "white"},
    )
    return points.update(
        mode="markers+text",
        texttemplate="baseline",
        textposition="bottom center",
        textfont={"color": BASELINE, "size": 13},
    )


def _front_line(view: StudyView) -> go.Scatter:
    """The edge of the region that the front dominates, as steps between members."""
    return go.Scatter(
        **_axes(view, (record.finished.final for record in view.front)),
        mode="lines",
        line={"shape": "vh", "color": FRONT, "width": 1.5},
        hoverinfo="skip",
    )


def _dense_points(view: StudyView, pruned: Sequence[TrialRecord]) -> go.Scatter:
    dense = [record.finished.dense for record in pruned]
    return go.Scatter(
        **_axes(view, dense),
        mode="markers",
        name="before pruning",
        marker={"symbol": "circle-open", "size": 8, "color": DENSE, "line": {"width": 1.2}},
        opacity=0.55,
        text=[
            _hover(view, record, outcome, " before pruning")
            for record, outcome in zip(pruned, dense, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
    )


def _pruning_lines(view: StudyView, pruned: Sequence[TrialRecord]) -> go.Scatter:
    """One trace for all: a None ends each line."""
    ends = [_axes(view, (record.finished.dense, record.finished.final)) for record in pruned]
    return go.Scatter(
        **{axis: [v for line in ends for v in (*line[axis], None)] for axis in ("x", "y")},
        mode="lines",
        line={"color": DENSE, "width": 1},
        opacity=0.4,
        hoverinfo="skip",
    )


def _hover(view: StudyView, record: TrialRecord, outcome: Outcome, stage: str = "") -> str:
    """The hover text, in plotly's subset of HTML."""
    words = html.escape(visible(view.in_words(record))).replace(", ", "<br>")
    mark = " (baseline)" if record.origin == "baseline" else ""
    if record.parent is not None:
        mark = f" (from trial {record.parent})"
    numbers = "<br>".join(
        f"{FIGURES[name].heading} {show(name, outcome.figure(name))}"
        for name in columns(view.objectives)
    )
    return f"<b>Trial {record.number}{mark}{stage}</b><br>{words}<br><br>{numbers}"


def _layout(view: StudyView) -> go.Layout:
    dense = [record.finished.dense for record in _pruned(view)]
    shown = _axes(view, [*(record.finished.final for record in view.scored), *dense])
    vertical, horizontal = view.axes
    return go.Layout(
        template="none",
        autosize=True,
        xaxis=_axis(horizontal, shown["x"]),
        yaxis=_axis(vertical, shown["y"]),
        showlegend=False,
        margin={"l": 60, "r": 16, "t": 36, "b": 48},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        hoverlabel={
            "bgcolor": "#1d2126",
            "bordercolor": "#1d2126",
            "font": {"color": "#f2f4f5", "size": 13},
            "align": "left",
        },
        hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": FRONT},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )


def _axis(name: FigureName, values: Sequence[float | None]) -> dict[str, object]:
    """An axis for all values of an objective: from 0, or logarithmic if ratios matter."""
    known = [value for value in values if value is not None]
    axis = {"gridcolor": FAINT, "linecolor": INK, "ticks": "outside", "tickcolor": FAINT}
    if FIGURES[name].scale == "log":
        low, high = math.log10(min(known)), math.log10(max(known))
        pad = max(0.06 * (high - low), 0.04)
        return {
            **axis,
            "type": "log",
            "title": {"text": f"{FIGURES[name].heading} (logarithmic)"},
            "range": [low - pad, high + pad],
            "tickvals": _log_ticks(min(known), max(known)),
            "showline": True,
        }
    top = max(known) or 0.1
    return {
        **axis,
        "title": {"text": FIGURES[name].heading},
        "range": [-0.04 * top, 1.08 * top],
        "zerolinecolor": FAINT,
        "zerolinewidth": 1,
    }


def _log_ticks(low: float, high: float) -> list[float]:
    """Round tick values over a range, closer together in a narrow one."""
    steps = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [step * 10**decade for decade in decades for step in steps]
