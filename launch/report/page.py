"""The page of a study: `page.html` filled in. Jinja escapes every value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from detectors.cost import Cost
from launch.records import UNTRAINED, TrialRecord
from launch.report.front_file import member_of
from launch.report.plot import front_plot
from launch.report.study import StudyView, figure_of, headline
from launch.report.words import (
    COLUMNS,
    LABELS,
    describe_in_words,
    show,
    show_change,
    show_seconds,
)
from launch.trial import TrialResult


@dataclass(frozen=True)
class Row:
    """One trial in the table.

    Attributes:
        state: `front`, or what the record says.
        cells: (text, value to sort by or None) of each of `COLUMNS`.
    """

    record: TrialRecord
    state: str
    cells: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class Member:
    """One trial of the front.

    Attributes:
        detector: the folder that loads it.
        figures: a label and the texts of dense, and if pruned of compact and the change.
        config: indented JSON.
    """

    record: TrialRecord
    detector: str
    figures: tuple[tuple[str, tuple[str, ...]], ...]
    config: str


def page(view: StudyView, folder: Path, title: str, facts: Mapping[str, str]) -> str:
    """The whole page as one HTML document."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words=describe_in_words, seconds=show_seconds)
    environment.globals.update(show=show, labels=LABELS)
    return environment.get_template("page.html").render(
        title=title,
        sentences=headline(view),
        facts=facts,
        plot=Markup(front_plot(view)) if view.scored else None,
        devices=_devices(view),
        columns=COLUMNS,
        rows=list(_rows(view)),
        members=[_member(record, folder) for record in view.front],
        small_objects=_small_objects(view),
    )


def _rows(view: StudyView) -> Iterator[Row]:
    """The front, then what finished by AP_small, what still runs, what failed or ended early."""
    front = {record.number for record in view.front}
    finished = sorted(
        (r for r in view.in_state("finished") if r.number not in front),
        key=lambda record: record.result.figure("ap_small") or 0.0,
        reverse=True,
    )
    for record in view.front:
        yield _row(record, "front")
    for record in finished:
        yield _row(record, "finished")
    for state in ("running", "failed", *UNTRAINED):
        for record in view.in_state(state):
            yield _row(record, state)


def _row(record: TrialRecord, state: str) -> Row:
    values = {name: record.figure(name) for name in COLUMNS}
    return Row(record, state, tuple((show(name, value), value) for name, value in values.items()))


def _member(record: TrialRecord, folder: Path) -> Member:
    return Member(
        record,
        (folder / member_of(record).detector).as_posix(),
        tuple((label, _figures(record.result, name)) for name, label in LABELS.items()),
        record.config.model_dump_json(indent=2),
    )


def _figures(result: TrialResult, name: str) -> tuple[str, ...]:
    before = figure_of(result.dense, name)
    if result.compact is None:
        return (show(name, before),)
    after = figure_of(result.compact, name)
    return show(name, before), show(name, after), show_change(name, before, after)


def _devices(view: StudyView) -> list[str]:
    """What the speeds were measured on; more than one means that they do not compare."""
    costs = [r.result.final.cost for r in view.in_state("finished")]
    return list(dict.fromkeys(map(_device, costs)))


def _device(cost: Cost) -> str:
    if cost.threads is None:
        return cost.device
    return f"{cost.device}, {cost.threads} thread{'s' if cost.threads > 1 else ''}"


def _small_objects(view: StudyView) -> int | None:
    finished = view.in_state("finished")
    return finished[0].result.final.metrics.small_objects if finished else None
