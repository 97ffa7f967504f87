"""The page of a study: `page.html` filled in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly import graph_objects as go

from detectors.data.health import Health, leaks_in_words, oddities
from detectors.timing.cost import Cost
from launch.figures import (
    DEFAULT,
    FIGURES,
    columns,
    height,
    published_heading,
    show,
    show_change,
    show_published,
    shown_in,
    with_name,
)
from launch.records import STATES, TrialRecord
from launch.report.analysis import analysis_of
from launch.report.certainty import show_bounded, show_within
from launch.report.epochs import epochs_in_words, legend, marked_epochs, slope_in_words
from launch.report.front_file import REMADE, member_of
from launch.report.health import health_lines
from launch.report.look import as_html, packed_plotly
from launch.report.plot import front_figure
from launch.report.points import legend_of
from launch.report.published import Comparison
from launch.report.rising import slope
from launch.report.spent import stage_costs
from launch.report.study import StudyView
from launch.report.templates import environment
from launch.report.verdict import headline
from launch.trial.log import evidence
from launch.trial.result import TrialResult
from searchspace.words import command

MOST_FINISHED, MOST_OTHERS = 600, 100
"""The most finished trials beside the front, the best ones, and the most of each other state, the
latest ones, that the table shows: a page of thousands of rows takes long to open."""


@dataclass(frozen=True)
class About:
    """What a report says besides its trials.

    Attributes:
        shortfall: why there are fewer trials than were asked for; empty if there are not.
        plugins: what must be loaded before the detectors, see `searchspace.load_plugins`.
        compared: its papers' systems.
        health: of the data, which is summed up.
        pages: of trials of the front, by number, as paths from the report.
    """

    shortfall: str = ""
    plugins: Sequence[str] = ()
    compared: Comparison | None = None
    health: Health | None = None
    pages: Mapping[int, str] = field(default_factory=dict)


NOTHING_MORE = About()


@dataclass(frozen=True)
class Row:
    """One trial in the table.

    Attributes:
        state: `front`, or the record's state.
        cells: (text, value to sort by or None) of each column.
        epochs: the same for the epochs that it was trained for.
        curve: the end of its learning curve in words; empty if it is not known.
        evidence: the log files of a failed trial, as paths relative to the study's folder.
    """

    record: TrialRecord
    state: str
    cells: tuple[tuple[str, float | None], ...]
    epochs: tuple[str, int | None]
    curve: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """One trial of the front.

    Attributes:
        detector: the folder to load it from.
        is_gone: whether that folder is missing.
        stages: headings of the columns of its figures, each with the epochs until then.
        figures: label and texts of each row of figures.
        curve: the end of its learning curve in words.
        objectives: the objectives' values in words.
        config: indented JSON.
    """

    record: TrialRecord
    detector: str
    is_gone: bool
    stages: tuple[str, ...]
    figures: tuple[tuple[str, tuple[str, ...]], ...]
    objectives: str
    curve: str
    config: str


@dataclass(frozen=True)
class Reading:
    """The texts around the plot.

    Attributes:
        nothing: what all finished trials lack, if there is no plot.
    """

    heading: str
    axes: str
    better: str
    nothing: str


def page(
    view: StudyView,
    folder: Path,
    title: str,
    facts: Mapping[str, str],
    about: About = NOTHING_MORE,
) -> str:
    """The whole page as one HTML document."""
    jinja, health, analysis = environment(), about.health, analysis_of(view)
    headings = {name: row.heading for name, row in FIGURES.items()}
    names: dict[str, Any] = jinja.globals
    rows = list(_rows(view, folder))
    names.update(show=show, headings=headings, remade=REMADE)
    names.update(published_heading=published_heading, show_published=show_published)
    return jinja.get_template("page.html").render(
        title=title,
        view=view,
        sentences=headline(view, about.shortfall),
        facts=facts,
        plugins=about.plugins,
        pages=about.pages,
        plotly=packed_plotly() if view.scored or analysis.curves else None,
        plot=_drawn(front_figure(view, _systems(about)), "front-plot") if view.scored else None,
        kinds=[(kind, Markup(kind.shape)) for kind in legend_of(view)],
        analysis=analysis,
        stages=stage_costs(folder, view),
        devices=_devices(view),
        columns=columns(view.objectives),
        reading=_reading(view),
        rows=rows,
        left_out=len(view.records) - len(rows),
        all_trials=command("trials", folder, "--out", "trials.csv"),
        legend=legend(view.records),
        members=[_member(view, record, folder) for record in view.front],
        small_objects=_small_objects(view),
        compared=about.compared,
        data=health_lines(health) if health else (),
        odd=oddities(health) if health else (),
        leaks=leaks_in_words(health) if health else "",
    )


def _drawn(figure: go.Figure, name: str) -> Markup:
    return Markup(as_html(figure, name))


def _systems(about: About) -> dict[int, str]:
    """The names of published systems, by the number of their trial."""
    rows = about.compared.rows if about.compared else ()
    return {row.record.number: row.system for row in rows if row.record}


def _rows(view: StudyView, folder: Path) -> Iterator[Row]:
    """The front, then finished trials by the first objective, running ones, and those that failed
    or ended early; of many, a part."""
    front = {record.number for record in view.front}
    finished = sorted(
        (r for r in view.in_state("finished") if r.number not in front),
        key=lambda record: _first_height(view, record),
        reverse=True,
    )
    names = columns(view.objectives)
    for record in view.front:
        yield _row(record, "front", names)
    for record in finished[:MOST_FINISHED]:
        yield _row(record, "finished", names)
    for state in STATES[1:]:
        for record in view.in_state(state)[-MOST_OTHERS:]:
            yield replace(_row(record, state, names), evidence=_evidence(record, folder))


def _evidence(record: TrialRecord, folder: Path) -> tuple[str, ...]:
    """The log files of a failed trial, as paths relative to the study's folder."""
    if record.state != "failed":
        return ()
    files = evidence(folder / record.folder)
    return tuple(file.relative_to(folder).as_posix() for file in files)


def _first_height(view: StudyView, record: TrialRecord) -> float:
    """How good a finished trial is in the first objective; the lowest value if unknown."""
    name = view.objectives[0]
    value = record.finished.figure(name)
    return -math.inf if value is None else height(name, value)


def _row(record: TrialRecord, state: str, names: Sequence[str]) -> Row:
    values = {name: record.figure(name) for name in names}
    return Row(
        record,
        state,
        tuple((_shown(record, name, value), value) for name, value in values.items()),
        (marked_epochs(record), record.epochs and sum(record.epochs)),
        slope_in_words(found) if (found := slope(record)) else "",
    )


def _shown(record: TrialRecord, name: str, value: float | None) -> str:
    return show_bounded(record.finished.final, name) if record.result else show(name, value)


def _member(view: StudyView, record: TrialRecord, folder: Path) -> Member:
    detector = folder / member_of(record, view.objectives).detector
    return Member(
        record,
        detector.as_posix(),
        not detector.is_dir(),
        _stages(record.finished),
        tuple(
            (FIGURES[name].heading, _figures(record.finished, name))
            for name in shown_in("page", view.objectives)
        ),
        " \N{MIDDLE DOT} ".join(
            with_name(name, record.finished.figure(name)) for name in view.objectives
        ),
        slope_in_words(slope(record)),
        record.config.model_dump_json(indent=2),
    )


def _reading(view: StudyView) -> Reading:
    vertical, horizontal = (FIGURES[name] for name in view.axes)
    first, second = vertical.heading, horizontal.heading
    usual = view.objectives == DEFAULT
    side = "right" if horizontal.better == "up" else "left"
    aside = "" if len(view.objectives) == 1 else f" and to the {side}"
    return Reading(
        heading="Accuracy on small objects against speed" if usual else f"{first} against {second}",
        axes=f"{first} against {second}",
        better=f"{vertical.better.capitalize()}{aside} is better; {_beyond(view.objectives)}.",
        nothing="an AP_small" if usual else "a value of each objective",
    )


def _beyond(objectives: Sequence[str]) -> str:
    """Where the front lies in the plot."""
    *others, last = (FIGURES[name].label for name in objectives)
    if not others:
        return f"the front is the best trial in {last} alone"
    if len(others) == 1:
        return "no finished trial lies beyond the line"
    return f"the front is over {', '.join(others)} and {last}, so some members lie inside the line"


def _stages(result: TrialResult) -> tuple[str, ...]:
    epochs = result.config.epochs
    dense = f"dense, {epochs_in_words((epochs[0], 0))} epoch{'' if epochs[0] == 1 else 's'}"
    if result.compact is None:
        return (f"final, {epochs_in_words(epochs)} epochs" if epochs[1] else dense,)
    name = "pruned" if result.config.compress.prunes else "trained on"
    return dense, f"{name}, {epochs_in_words(epochs)}", "change"


def _figures(result: TrialResult, name: str) -> tuple[str, ...]:
    before = result.dense.figure(name)
    if result.compact is None:
        return (show_within(result.dense, name),)
    after = result.compact.figure(name)
    texts = (show_within(outcome, name) for outcome in (result.dense, result.compact))
    return *texts, show_change(name, before, after)


def _devices(view: StudyView) -> list[str]:
    """The devices that speeds were measured on; with more than one they cannot be compared."""
    costs = [r.finished.final.cost for r in view.in_state("finished")]
    return list(dict.fromkeys(map(_device, costs)))


def _device(cost: Cost) -> str:
    if cost.threads is None:
        return cost.device
    return f"{cost.device}, {cost.threads} thread{'s' if cost.threads > 1 else ''}"


def _small_objects(view: StudyView) -> int | None:
    finished = view.in_state("finished")
    return finished[0].finished.final.metrics.small_objects if finished else None
