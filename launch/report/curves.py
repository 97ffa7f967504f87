"""Plots over time: the hypervolume of the front over device time, and learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from plotly import graph_objects as go

from launch.figures import DEFAULT, FIGURES, FigureName, heights, if_known
from launch.pareto import dominates, hypervolume
from launch.records import TrialRecord
from launch.report.look import (
    BAND,
    BASELINE,
    FRONT,
    OTHER,
    figure_axis,
    layout,
    plain_axis,
    thinned,
)
from launch.report.study import StudyView
from launch.trial.result import figure_of

ORDERS = 50
"""Random orders of the trials that the search's own order is compared with."""

GRID = 120
"""Points in time at which these are compared."""

MOST = 300
"""The most learning curves that are drawn besides those of the front."""


# ---- hypervolume over device time


def hypervolume_figure(view: StudyView) -> go.Figure | None:
    """The hypervolume of the front so far over device-hours, and a band for the same trials in
    random order; None where it is not defined, or no trial adds to it."""
    found = growth(view)
    if found is None:
        return None
    hours, reached, low, middle, high = found
    figure = go.Figure()
    band = {"mode": "lines", "hoverinfo": "skip"}
    edge = {"width": 0, "shape": "hv"}
    figure.add_scatter(x=hours, y=low, line=edge, **band)
    figure.add_scatter(x=hours, y=high, line=edge, fill="tonexty", fillcolor=BAND, **band)
    figure.add_scatter(
        x=hours,
        y=middle,
        name="random order",
        mode="lines",
        line={"color": OTHER, "width": 1.5, "dash": "dot", "shape": "hv"},
        hovertemplate="%{y:.3f} in random order after %{x:.2f} h<extra></extra>",
    )
    figure.add_scatter(
        x=hours,
        y=reached,
        name="search",
        mode="lines",
        line={"color": FRONT, "width": 2, "shape": "hv"},
        hovertemplate="%{y:.3f} after %{x:.2f} h<extra></extra>",
    )
    return figure.update_layout(
        layout(
            xaxis=plain_axis("Device time, hours", rangemode="tozero"),
            yaxis=plain_axis("Hypervolume", rangemode="tozero"),
        )
    )


def growth(view: StudyView) -> tuple[np.ndarray, ...] | None:
    """Hours [T]; the hypervolume that the search had reached by then [T]; and the 5 %, 50 % and
    95 % quantiles [T] of `ORDERS` random orders of the same trials.

    Device time is the sum of the trials' own times, in the order of their numbers.
    """
    references = if_known(FIGURES[name].reference for name in view.objectives)
    ended = [record for record in view.records if record.state != "running"]
    if references is None or not view.front:
        return None
    base = heights(view.objectives, references)
    seconds = np.array([record.seconds for record in ended])
    counts = [r.values(view.objectives) is not None and not r.broken for r in ended]
    points = np.array(
        [
            view.heights(record) if counted else base
            for record, counted in zip(ended, counts, strict=True)
        ]
    )
    times = np.linspace(0.0, seconds.sum(), GRID)
    generator = np.random.default_rng(0)
    orders = (generator.permutation(len(ended)) for _ in range(ORDERS))
    drawn = [_reached(points[order], seconds[order], times, base) for order in orders]
    reached = _reached(points, seconds, times, base)
    return times / 3600, reached, *np.quantile(drawn, (0.05, 0.5, 0.95), axis=0)


def _reached(
    points: np.ndarray, seconds: np.ndarray, times: np.ndarray, base: Sequence[float]
) -> np.ndarray:
    """The hypervolume at some times of trials that end one after the other."""
    ends, left = np.cumsum(seconds), np.flatnonzero((points > np.array(base)).all(1))
    front: list[tuple[float, ...]] = []
    steps = [(0.0, 0.0)]
    while left.size:
        first = left[0]
        new = tuple(points[first].tolist())
        front = [new, *(point for point in front if not dominates(new, point))]
        steps.append((ends[first], hypervolume(front, base)))
        # Only what none so far dominates can add to it.
        left = left[(points[left] > points[first]).any(1)]
    at, volumes = np.array(steps).T
    return volumes[np.searchsorted(at, times * (1 + 1e-12), side="right") - 1]


# ---- learning curves


def learning_figure(view: StudyView) -> go.Figure | None:
    """Accuracy over epochs of training; None if no trial was scored twice."""
    name = next((n for n in view.objectives if FIGURES[n].source == "metrics"), DEFAULT[0])
    curves = {record.number: list(learning_curve(record, name)) for record in view.records}
    curves = {number: curve for number, curve in curves.items() if len(curve) > 1}
    if not curves:
        return None
    members = {record.number for record in view.front}
    baseline = view.baseline.number if view.baseline else None
    others = [number for number in curves if number not in members and number != baseline]
    figure = go.Figure()
    drawn = thinned(others, MOST)
    if drawn:
        figure.add_scatter(
            x=[x for number in drawn for x in (*_column(curves[number], 0), None)],
            y=[y for number in drawn for y in (*_column(curves[number], 1), None)],
            customdata=[n for number in drawn for n in [number] * (len(curves[number]) + 1)],
            mode="lines+markers",
            marker={"size": 3},
            line={"color": OTHER, "width": 1},
            opacity=0.45,
            hovertemplate="trial %{customdata}: %{y:.3f} after %{x} epochs<extra></extra>",
        )
    for number in [n for n in (*members, baseline) if n in curves]:
        figure.add_scatter(
            x=_column(curves[number], 0),
            y=_column(curves[number], 1),
            mode="lines+markers",
            name=f"trial {number}",
            line={"color": BASELINE if number == baseline else FRONT, "width": 2},
            hovertemplate=f"trial {number}: %{{y:.3f}} after %{{x}} epochs<extra></extra>",
        )
    values = [value for curve in curves.values() for _, value in curve]
    return figure.update_layout(
        layout(xaxis=plain_axis("Epochs", rangemode="tozero"), yaxis=figure_axis(name, values))
    )


def learning_curve(record: TrialRecord, name: FigureName) -> Iterator[tuple[int, float]]:
    """A trial's values of a metric by epochs: at rungs, of the dense and of the final detector."""
    scores = {epochs: figure_of(name, metrics, None) for epochs, metrics in record.midway.items()}
    if result := record.result:
        trained, more = result.config.epochs
        scores[trained] = result.dense.figure(name)
        if result.compact and more:
            scores[trained + more] = result.compact.figure(name)
    for epochs, value in sorted(scores.items()):
        if value is not None:
            yield epochs, value


def _column(curve: Sequence[tuple[int, float]], index: int) -> list[float]:
    return [point[index] for point in curve]
