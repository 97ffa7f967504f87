"""Every figure of the table is held by a trial's outcome, compared, bounded and shown."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.cli.search import search_command
from launch.constraints import constraints_from
from launch.figures import (
    FIGURES,
    MISSING,
    Figure,
    Objectives,
    height,
    show,
    show_change,
    with_name,
)
from launch.pareto import front
from launch.report import front_table
from launch.report.front_file import front_csv, front_of
from launch.report.study import StudyView
from launch.trial.result import Outcome
from tests.launch.report.studies import record

figures = pytest.mark.parametrize("row", FIGURES.values(), ids=FIGURES)


def other(row: Figure) -> str:
    """A second objective beside a figure."""
    return "fps" if row.name != "fps" else "ap_small"


@figures
def test_an_outcome_holds_it(row: Figure) -> None:
    holder = Metrics if row.source == "metrics" else Cost
    held = row.name in holder.model_fields or isinstance(getattr(holder, row.name), property)
    assert held, f"{holder.__name__} has no {row.name}"


def test_all_scores_of_a_detector_are_figures() -> None:
    scores = {
        name for name, field in Metrics.model_fields.items() if field.annotation == float | None
    }
    scores |= {name for name, value in vars(Metrics).items() if isinstance(value, property)}
    scores.remove("inputs")  # how many parts of an image were looked at is no score
    assert scores == {name for name, row in FIGURES.items() if row.source == "metrics"}


@figures
def test_it_has_words(row: Figure) -> None:
    assert row.label
    assert re.fullmatch("[a-z][a-z0-9_]*", row.name)
    for value in (0.5, 7.0, 1.25e7):
        assert show(row.name, value) in with_name(row.name, value)
        assert row.label in with_name(row.name, value)
        assert row.unit in with_name(row.name, value)
        assert show_change(row.name, value, value) in ("1.00\N{MULTIPLICATION SIGN}", "+0.000")
    assert show(row.name, None) == MISSING
    assert MISSING in with_name(row.name, None)
    assert show_change(row.name, None, 0.5) == MISSING


@figures
def test_better_is_higher_on_the_front(row: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two trials that are alike in all else, the one with the better figure is the front."""
    records = [record(n, 0.1) for n in (0, 1)]
    values = dict(zip(map(id, (r.result.dense for r in records)), (0.2, 0.4), strict=True))
    known = Outcome.figure

    def figure(self: Outcome, name: str) -> float | None:
        return values[id(self)] if name == row.name else known(self, name)

    monkeypatch.setattr(Outcome, "figure", figure)
    best = 1 if row.better == "up" else 0
    assert [r.number for r in StudyView.of(records, (row.name, other(row))).front] == [best]
    assert front([(height(row.name, v),) for v in (0.2, 0.4)]) == [best]


@figures
def test_it_can_be_bounded(row: Figure) -> None:
    assert row.bound in inspect.signature(search_command).parameters
    [bound] = constraints_from({row.bound: 0.5})
    better, worse = (0.6, 0.4) if row.better == "up" else (0.4, 0.6)
    assert (bound.broken_by(better), bound.broken_by(worse)) == (False, True)
    assert bound.broken_by(None)
    assert bound.on_cost == (row.source == "cost")


@figures
def test_it_is_shown_as_an_objective(row: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Outcome.figure
    monkeypatch.setattr(
        Outcome, "figure", lambda self, name: 0.4 if name == row.name else known(self, name)
    )
    aims = (row.name, other(row))
    view = StudyView.of([record(0, 0.1)], aims)
    assert row.heading in [column.header for column in front_table(view.records, aims).columns]
    assert row.name in front_csv(view).splitlines()[0].split(",")
    [member] = front_of(view).members
    assert getattr(member.figures, row.name) == 0.4


def test_objectives_are_rows_of_the_table() -> None:
    objectives = TypeAdapter(Objectives)
    assert objectives.validate_python(tuple(FIGURES)) == tuple(FIGURES)
    with pytest.raises(ValidationError, match="'ap_smal': the nearest one is ap_small"):
        objectives.validate_python(("ap_smal", "fps"))


def test_the_table_is_read_without_heavy_libraries() -> None:
    code = "import launch.figures, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "pandas", "plotly", "ray", "optuna", "numpy"} & set(loaded.stdout.split())
