"""The part of the page about the search as a whole: time, curves, and what choices do."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from plotly import graph_objects as go

from launch.figures import FIGURES, show
from launch.report.choices import LEAST, Importance, importances, options_of_choice
from launch.report.curves import hypervolume_figure, learning_figure
from launch.report.look import as_html
from launch.report.parallel import axes_of, parallel_figure
from launch.report.spent import Share, saved_in_words, shares
from launch.report.study import StudyView

PIXELS = 124
"""Width of the space of an axis of the parallel coordinates."""


@dataclass(frozen=True)
class Choice:
    """One choice in the table.

    Attributes:
        importance: by objective, in the order of the objectives; None if unknown.
        options: label, number of trials and, for each objective, the median and its quartiles.
    """

    name: str
    importance: tuple[Importance | None, ...]
    options: tuple[tuple[str, int, tuple[tuple[str, str], ...]], ...]


@dataclass(frozen=True)
class Analysis:
    """What the template shows.

    Attributes:
        growth, curves, parallel: plots as HTML; None where there is nothing to draw.
        width: of the parallel coordinates, in pixels at least.
        too_few: why importance is not known; empty if it is.
    """

    growth: Markup | None
    curves: Markup | None
    parallel: Markup | None
    width: int
    choices: tuple[Choice, ...]
    too_few: str
    spent: tuple[Share, ...]
    saved: tuple[str, ...]


def analysis_of(view: StudyView) -> Analysis:
    """All of it."""
    names = view.choices
    important = {name: importances(view, name) for name in view.objectives}
    ranked = sorted(names, key=lambda n: -sum(f[n].share for f in important.values() if n in f))
    axes = axes_of(view, ranked) if view.scored else []
    return Analysis(
        growth=_plot(hypervolume_figure(view), "growth-plot"),
        curves=_plot(learning_figure(view), "curves-plot"),
        parallel=_plot(parallel_figure(view, axes), "parallel-plot") if names else None,
        width=PIXELS * len(axes),
        choices=tuple(_choice(view, name, important) for name in ranked),
        too_few=_too_few(view),
        spent=tuple(shares(view)),
        saved=tuple(saved_in_words(view)),
    )


def _plot(figure: go.Figure | None, name: str) -> Markup | None:
    return None if figure is None else Markup(as_html(figure, name))


def _choice(view: StudyView, name: str, important: dict[str, dict[str, Importance]]) -> Choice:
    options = [
        (
            option.label,
            option.trials,
            tuple(
                (show(figure, middle), f"{show(figure, low)} to {show(figure, high)}")
                for figure, (low, middle, high) in option.values.items()
            ),
        )
        for option in options_of_choice(view, name)
    ]
    return Choice(name, tuple(important[f].get(name) for f in view.objectives), tuple(options))


def _too_few(view: StudyView) -> str:
    if len(view.scored) >= LEAST:
        return ""
    labels = " and ".join(FIGURES[name].label for name in view.objectives)
    return (
        f"How much each choice matters for {labels} is not computed: {len(view.scored)} finished "
        f"trials are too few, it takes {LEAST}."
    )
