"""Parallel coordinates: a line for each trial through its choices and objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plotly import graph_objects as go

from launch.figures import FIGURES, FigureName, scaled, show
from launch.records import TrialRecord
from launch.report.choices import numbers_in, shown_value
from launch.report.look import BASELINE, FAINT, FRONT, INK, OTHER, layout, thinned
from launch.report.study import StudyView

MOST_LINES = 300
"""The most lines besides those of the front."""

MOST_CHOICES = 10
"""The most axes of choices, the most important ones."""


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        place: the height of a trial on it, in 0..1; None if it has no value.
        ticks: (height, text).
    """

    title: str
    place: Callable[[TrialRecord], float | None]
    ticks: tuple[tuple[float, str], ...]


def axes_of(view: StudyView, ranked: Sequence[str]) -> list[Axis]:
    """The axes of choices, then those of objectives.

    Args:
        ranked: choices, the most important first; empty where that is not known.
    """
    order = view.choices
    kept = set((ranked or order)[:MOST_CHOICES])
    choices = [_choice_axis(view, name) for name in order if name in kept]
    return [*choices, *(_figure_axis(view, name) for name in view.objectives)]


def parallel_figure(view: StudyView, axes: Sequence[Axis]) -> go.Figure:
    """A line for each scored trial, those of the front above the others."""
    members = {record.number for record in view.front}
    others = [r for r in view.scored if r.number not in members and r is not view.baseline]
    drawn = thinned(others, MOST_LINES)
    figure = go.Figure()
    if drawn:
        figure.add_trace(_lines(drawn, axes, OTHER, 1, 0.35))
    if members:
        figure.add_trace(_lines(view.front, axes, FRONT, 2, 0.9))
    if view.baseline in view.scored and view.baseline is not None:
        figure.add_trace(_lines([view.baseline], axes, BASELINE, 2, 0.9))
    ends = len(axes) - 1
    figure.update_layout(
        layout(
            margin={"l": 60, "r": 60, "t": 64, "b": 24},
            xaxis={"visible": False, "range": [-0.02, ends + 0.02], "fixedrange": True},
            yaxis={"visible": False, "range": [-0.06, 1.08], "fixedrange": True},
            shapes=[
                {"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "line": {"color": INK}}
                for i in range(len(axes))
            ],
            annotations=[*_titles(axes), *_ticks(axes)],
        )
    )
    return figure


def _lines(
    records: Sequence[TrialRecord], axes: Sequence[Axis], color: str, width: float, opacity: float
) -> go.Scatter:
    """The lines of several trials as one trace: a None ends each."""
    count = len(axes)
    return go.Scatter(
        x=[*range(count), None] * len(records),
        y=[
            None if y is None else round(y, 4)
            for record in records
            for y in (*(axis.place(record) for axis in axes), None)
        ],
        customdata=[record.number for record in records for _ in range(count + 1)],
        mode="lines",
        line={"color": color, "width": width},
        opacity=opacity,
        hovertemplate="trial %{customdata}<extra></extra>",
    )


def _titles(axes: Sequence[Axis]) -> list[dict[str, object]]:
    return [
        {
            "x": i, "y": 1.05, "text": axis.title, "showarrow": False, "yanchor": "bottom",
            "textangle": 0, "font": {"size": 12},
        }
        for i, axis in enumerate(axes)
    ]  # fmt: skip


def _ticks(axes: Sequence[Axis]) -> list[dict[str, object]]:
    return [
        {
            "x": i, "y": height, "text": text, "showarrow": False, "xanchor": "left", "xshift": 4,
            "font": {"size": 11}, "bgcolor": FAINT,
        }
        for i, axis in enumerate(axes)
        for height, text in axis.ticks
    ]  # fmt: skip


def _choice_axis(view: StudyView, name: str) -> Axis:
    """Numbers by their value, other options in the order in which they were drawn."""
    values = [record.params[name] for record in view.scored if name in record.params]
    title = "<br>".join(name.split(".")[-2:])
    numbers = numbers_in(values)
    if len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        places = {repr(v): (v - low) / (high - low) for v in numbers}
        ends = ((0.0, shown_value(low)), (1.0, shown_value(high)))
        return Axis(title, lambda record: places.get(_drawn(record, name)), ends)
    options = list(dict.fromkeys(map(repr, values)))
    texts = {repr(value): shown_value(value) for value in values}
    places = {option: i / (len(options) - 1) for i, option in enumerate(options)}
    ticks = tuple((places[option], texts[option][:12]) for option in options)
    return Axis(title, lambda record: places.get(_drawn(record, name)), ticks)


def _drawn(record: TrialRecord, name: str) -> str:
    return repr(record.params[name]) if name in record.params else ""


def _figure_axis(view: StudyView, name: FigureName) -> Axis:
    column = view.columns[name]
    values = list(column.values())
    low, high = min(values), max(values)
    least, most = scaled(name, low), scaled(name, high)

    def place(record: TrialRecord) -> float | None:
        return (scaled(name, column[record.number]) - least) / ((most - least) or 1.0)

    ends = ((0.0, show(name, low)), (1.0, show(name, high)))
    return Axis(FIGURES[name].heading, place, ends if high > low else ends[:1])
