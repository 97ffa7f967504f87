"""Figures that a user's module registers, such as those of docs/extending.md."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launch import figures, run_trial
from launch.cli.bounds import bound_options
from launch.constraints import constraints_from
from launch.decisions.early import Rungs, before_training
from launch.figures import FIGURES, FigureError, own_versions, register
from launch.records import Finished, Infeasible, TrialRecord
from launch.report import front_table
from launch.report.front_file import front_csv
from launch.report.study import StudyView
from launch.trial.data import TrialData
from launch.trial.result import TrialResult, read_result
from searchspace import TrialConfig, load_plugins, plugins
from tests.documents import example
from tests.launch.conftest import shapes, shapes_folder, space, space_file, tiny

__all__ = ["shapes", "shapes_folder", "space", "space_file", "tiny"]


@pytest.fixture
def own_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the example, loaded; its figures are gone after the test."""
    file = tmp_path / "example_of_figures.py"
    file.write_text(example("A figure"), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(plugins, "_loaded", {})
    before = set(FIGURES)
    load_plugins([file])
    yield file
    del sys.modules[file.stem]
    for name in FIGURES.keys() - before:
        del FIGURES[name], figures._computed[name]


def as_record(of: TrialResult, **fields: object) -> TrialRecord:
    return TrialRecord(
        number=0, folder="trials/0000", origin="sampler", params={}, config=of.config,
        predicted=of.predicted, **fields,
    )  # fmt: skip


def test_a_figure(own_figures: Path, tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> None:
    result = run_trial(tiny, shapes, tmp_path / "trial")
    assert read_result(tmp_path / "trial" / "result.json") == result
    size = 4 * result.dense.cost.params / 1e6
    assert result.figure("file_mb") == pytest.approx(size)
    assert result.predicted.own == {"file_mb": pytest.approx(size)}
    # Nothing is found after one epoch.
    assert result.figure("missed") == 1.0

    # A bound of a cost ends a design before it is trained, one of a metric does not.
    small, good = constraints_from({"max_file_mb": size / 2, "max_missed": 0.3})
    ending = before_training(as_record(result), [], [small, good], None)
    assert ending == Infeasible(broken=(str(small),))
    assert good.broken_by(result.figure("missed"))
    assert {"max_missed", "max_file_mb"} <= {option.name for option in bound_options()}

    # Halving compares by it, and reports have a column of it.
    midway = as_record(result, midway={1: result.dense.metrics})
    rungs = Rungs(("missed", "file_mb"))
    rungs.note(None, midway)
    assert rungs.scores == {1: {0: (-1.0, -math.log(size))}}
    done = as_record(result, ending=Finished(result=result))
    assert "Missed" in [column.header for column in front_table([done], ("missed", "fps")).columns]
    view = StudyView.of([done], ("fps", "file_mb"))
    assert {"missed", "file_mb"} <= set(front_csv(view).splitlines()[0].split(","))
    assert view.hypervolume is None
    assert StudyView.of([done], ("missed", "fps")).hypervolume == 0.0


def test_what_an_own_figure_rests_on_changes_with_its_file(own_figures: Path) -> None:
    before = own_versions("cost")
    own_figures.write_text(own_figures.read_text() + "# changed", encoding="utf-8")
    assert own_versions("cost").keys() == before.keys() == {"file_mb"}
    assert own_versions("cost") != before
    assert own_versions("metrics").keys() == {"missed"}


def test_a_figure_that_cannot_be_registered_is_refused(own_figures: Path) -> None:
    for figure, compute, why in (
        (FIGURES["ap"], example, "ap: there is one of that name already"),
        (FIGURES["missed"], example, "missed: there is one of that name already"),
        (replace(FIGURES["ap"], name="My figure"), example, "lower-case letters"),
        (replace(FIGURES["ap"], name="mine"), eval("lambda *given: 1"), "define the function in"),
    ):
        with pytest.raises(FigureError, match=why):
            register(figure, compute)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "much", 1.5])
def test_what_is_no_value_of_a_figure_is_refused(
    own_figures: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    # The figures are gone before `monkeypatch` would put one back.
    with monkeypatch.context() as patch:
        patch.setitem(figures._computed, "missed", lambda *given: value)
        with pytest.raises(FigureError, match=f"missed: its function gave {value!r}; .* from 0 to"):
            figures.own_figures("metrics", [], None)
        patch.setitem(figures._computed, "missed", lambda *given: None)
        assert figures.own_figures("metrics", [], None) == {"missed": None}
