"""The part of the page about the search as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from detectors.files import write_atomically
from launch.report.analysis import analysis_of
from launch.report.choices import importances, options_of_choice
from launch.report.curves import growth, hypervolume_figure, learning_curve, learning_figure
from launch.report.parallel import axes_of, parallel_figure
from launch.report.spent import REST, saved_in_words, shares, stage_costs
from launch.report.study import StudyView
from launch.trial.store import Manifest
from tests.launch import made_up
from tests.launch.report.studies import STUDY, ended, many, record


def test_hypervolume_grows_with_the_device_time_of_the_trials() -> None:
    records = [record(0, 0.1, 50, seconds=1800), record(1, 0.2, 40, seconds=3600),
               record(2, 0.05, 30, seconds=1800), ended(3, "failed", seconds=0)]  # fmt: skip
    view = StudyView.of(records)
    found = growth(view)
    assert found is not None
    hours, reached, low, middle, high = found
    assert hours[-1] == 2
    first = 0.1 * math.log(50)
    assert reached[(hours > 0.51) & (hours < 1.49)] == pytest.approx(first)
    assert reached[-1] == pytest.approx(view.hypervolume)
    # At the end every order has seen all trials.
    assert [curve[-1] for curve in (low, middle, high)] == pytest.approx([view.hypervolume] * 3)
    assert (np.diff(reached) >= 0).all()
    assert (low <= high).all()
    assert hypervolume_figure(StudyView.of([ended(0, "failed")])) is None


def test_learning_curves_have_every_evaluation() -> None:
    pruned = record(1, 0.2, dense=(0.25, 40), midway={2: made_up.metrics(0.1)})
    epochs, more = pruned.finished.config.epochs
    points = [(2, 0.1), (epochs, 0.25), (epochs + more, 0.2)]
    assert list(learning_curve(pruned, "ap_small")) == points
    figure = learning_figure(StudyView.of([pruned]))
    assert figure is not None
    assert list(zip(figure.data[0].x, figure.data[0].y, strict=True)) == points
    assert learning_figure(StudyView.of([record(1, 0.2)])) is None


def test_options_have_the_medians_of_their_trials() -> None:
    records = [
        record(n, ap, 50, params={"detector.width": width, "train.lr": float(n)})
        for n, (ap, width) in enumerate([(0.1, 0.5), (0.3, 0.5), (0.2, 0.5), (0.4, 1.0)] * 3)
    ]
    half, whole = options_of_choice(StudyView.of(records), "detector.width")
    assert (half.label, half.trials, whole.label, whole.trials) == ("0.5", 9, "1", 3)
    assert half.values["ap_small"] == pytest.approx((0.1, 0.2, 0.3))
    ranges = options_of_choice(StudyView.of(records), "train.lr")
    assert [(one.label, one.trials) for one in ranges] == [
        ("0 to 2.75", 3), ("2.75 to 5.5", 3), ("5.5 to 8.25", 3), ("8.25 to 11", 3),
    ]  # fmt: skip


def test_importance_finds_the_choices_that_matter_and_waits_for_enough_trials() -> None:
    view = StudyView.of(many(80))
    for name in view.objectives:
        found = importances(view, name)
        assert list(found)[-1] == "train.learning_rate"
        assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.values())
    assert importances(StudyView.of(STUDY), "fps") == {}
    assert "4 finished trials are too few, it takes 20" in analysis_of(StudyView.of(STUDY)).too_few


def test_parallel_coordinates_have_a_line_for_each_trial() -> None:
    records = [record(n, 0.1 * n, 10.0 * n, params={"a.size": n, "a.kind": kind})
               for n, kind in ((1, "x"), (2, "y"), (3, None))]  # fmt: skip
    view = StudyView.of(records)
    axes = axes_of(view, ())
    assert [axis.title for axis in axes] == ["a<br>size", "a<br>kind", "AP_small", "FPS"]
    assert [axes[1].place(r) for r in records] == [0, 0.5, 1]
    assert axes[1].ticks == ((0, "x"), (0.5, "y"), (1, "none"))
    others, line = parallel_figure(view, axes).data
    assert list(others.customdata[::5]) == [1, 2]
    assert list(line.y)[:5] == [1, 1, 1, 1, None]
    assert list(line.customdata[::5]) == [3]
    assert axes[3].place(records[1]) == pytest.approx(math.log(2) / math.log(3))


def test_device_time_is_told_by_state_with_what_was_saved() -> None:
    first = record(0, 0.1, seconds=100)
    again = record(1, 0.1, seconds=30).model_copy(
        update={"config": first.config, "params": {"x": 1}}
    )
    view = StudyView.of([first, again, ended(2, "failed", seconds=70)])
    assert [(s.state, s.trials, s.seconds, s.share) for s in shares(view)] == [
        ("finished", 2, 130, 0.65), ("failed", 1, 70, 0.35),
    ]  # fmt: skip
    assert saved_in_words(view) == [
        "1 trial took a training from another one, as the ladder of pruning does; saved about "
        "1 min 10 s."
    ]
    assert shares(StudyView.of([])) == []


def test_device_time_is_told_by_stage_as_the_artefacts_have_it(tmp_path: Path) -> None:
    view = StudyView.of(STUDY)
    assert stage_costs(tmp_path, view) == []
    stages = {"train-1": 100.0, "train-2": 50.0, "rung-1": 10.0, "measure-1": 30.0, "own-1": 5.0}
    for name, seconds in stages.items():
        manifest = Manifest(stage=name.partition("-")[0], inputs={}, files={}, seconds=seconds)
        write_atomically(tmp_path / "stages" / name / "stage.json", manifest.model_dump_json())
    write_atomically(tmp_path / "stages/prune-1/stage.json", "{")  # as a full disk leaves it
    costs = {cost.stage: (cost.artefacts, cost.seconds) for cost in stage_costs(tmp_path, view)}
    total = sum(record.seconds for record in STUDY)
    assert costs == {
        "train": (2, 140.0),
        "score midway": (1, 10.0),
        "measure": (1, 30.0),
        "own": (1, 5.0),
        REST: (None, total - 185.0),
    }
    assert sum(cost.share for cost in stage_costs(tmp_path, view)) == pytest.approx(1)
