"""Designs that end before they are trained: what a study notes, tells and counts."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from launch.constraints import constraints_from
from launch.records import TrialRecord
from launch.report import front_table, load_front, write_report
from launch.searches import search
from launch.study.opening import open_study, read_records
from launch.study.proposals import MAX_REJECTED, rejected_in_a_row
from launch.study.settings import StudySettings
from launch.study.study import Study
from searchspace import Space
from tests.launch.made_up import altered, cost, result, settings_for, told

BOUNDS = constraints_from({"min_fps": 30.0, "min_ap_small": 0.9, "max_params": 2e6})


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=12, papers=False, constraints=BOUNDS)


def end_before_training(study: Study, fps: float = 20) -> TrialRecord:
    """Propose a trial that is too slow."""
    record = study.propose()
    assert not study.note_prediction(record.number, cost(fps), seconds=2)
    return study.records[record.number]


def test_a_design_that_is_predicted_too_slow_ends_and_is_reported_as_pruned(
    settings: StudySettings, tmp_path: Path
) -> None:
    ended = []
    with open_study(tmp_path, settings, on_end=lambda record, _: ended.append(record)) as study:
        record = end_before_training(study)
        assert record.state == "infeasible"
        assert record.broken == ("fps >= 30",)
        assert (record.predicted, record.seconds) == (cost(20), 2)
    assert ended == [record]
    assert read_records(tmp_path) == (record,)
    [trial] = told(tmp_path)
    assert trial.state == TrialState.PRUNED
    # A bound on a metric is not judged by what a design costs.
    assert trial.constraints == pytest.approx({"fps >= 30": 1 / 3, "params <= 2e+06": -0.5})
    (tmp_path / "optuna.log").unlink()
    with open_study(tmp_path) as study:
        assert study.propose().number == 1
    again = told(tmp_path)[0]
    assert (again.state, again.constraints) == (trial.state, trial.constraints)


def test_a_design_that_keeps_all_bounds_is_trained(settings: StudySettings, tmp_path: Path) -> None:
    with open_study(tmp_path, settings) as study:
        record = study.propose()
        assert study.note_prediction(record.number, cost(30), seconds=2)
        # A trial that begins again in another process asks again.
        assert study.note_prediction(record.number, cost(30), seconds=2)
        study.end(record.number, result(record, 0.95, 28, seconds=60))
    [finished] = read_records(tmp_path)
    assert (finished.state, finished.broken, finished.seconds) == ("finished", ("fps >= 30",), 60)
    assert finished.predicted == cost(30)


def test_a_constraint_on_an_unpredicted_cost_is_checked_after_training(
    settings: StudySettings, tmp_path: Path
) -> None:
    bounds = constraints_from({"max_latency_p99": 40.0, "min_fps": 30.0})
    with open_study(tmp_path, altered(settings, constraints=bounds)) as study:
        record = study.propose()
        assert study.note_prediction(record.number, cost(30), seconds=2)
        slow = end_before_training(study)
        assert slow.broken == ("fps >= 30",)
        study.end(record.number, result(record, 0.95, 30))
        assert study.records[0].broken == ("latency_p99 <= 40",)
    told_of = {t.user_attrs["number"]: t.constraints for t in told(tmp_path) if t.user_attrs}
    assert told_of[slow.number] == pytest.approx({"fps >= 30": 1 / 3})


def test_an_ended_design_that_asks_again_is_not_trained(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        record = end_before_training(study)
        assert not study.note_prediction(record.number, cost(99), seconds=2)
        assert study.records == (record,)


class Spy(optuna.samplers.RandomSampler):
    """Counts how often it was asked."""

    asked = 0

    def sample_relative(self, *args: object) -> dict[str, object]:
        self.asked += 1
        return {}


def test_after_five_rejected_designs_a_random_one_is_drawn(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(seed=0)
    monkeypatch.setattr("launch.study.proposals.make_sampler", lambda *_: spy)
    with open_study(tmp_path, settings) as study:
        for _ in range(MAX_REJECTED + 2):
            end_before_training(study)
    asked = spy.asked
    assert asked <= MAX_REJECTED
    with open_study(tmp_path) as study:
        record = study.propose()
        assert spy.asked == asked
        assert study.note_prediction(record.number, cost(50), seconds=2)
        study.propose()
        assert spy.asked > asked


def test_rejected_designs_count_up_to_the_latest_that_was_trained(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        assert rejected_in_a_row(study.records) == 0
        end_before_training(study)
        trained = study.propose()
        assert rejected_in_a_row(study.records) == 1  # nothing is known of the second yet
        study.note_prediction(trained.number, cost(50), seconds=2)
        assert rejected_in_a_row(study.records) == 0
        end_before_training(study)
        end_before_training(study)
        assert rejected_in_a_row(study.records) == 2


def test_the_report_shows_and_counts_what_was_not_trained(
    settings: StudySettings, tmp_path: Path
) -> None:
    kept = altered(settings, constraints=BOUNDS[:1])
    with open_study(tmp_path, kept) as study:
        record = study.propose()
        study.note_prediction(record.number, cost(50), seconds=2)
        study.end(record.number, result(record, 0.2, 50, seconds=100))
        end_before_training(study, fps=12)
        end_before_training(study, fps=11)
        records = study.records
    write_report(tmp_path, records, title="t", facts={})
    assert load_front(tmp_path).trials == {
        "finished": 1, "failed": 0, "running": 0, "infeasible": 2,
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert "1 trial finished (2 infeasible); 1 is on the front." in page
    assert "2 designs ended before training; saved about 3 min 16 s." in page
    assert '<td class="num" data-value="12.0">12.0</td>' in page
    assert "not fps &gt;= 30" in page
    assert front_table(records).row_count == 1


def test_a_search_trains_nothing_that_breaks_a_bound(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    bounds = constraints_from({"max_params": 10.0})
    search(
        space, shapes_folder, tmp_path, trials=2, driver="local", device="cpu", constraints=bounds
    )
    records = read_records(tmp_path)
    assert [r.state for r in records] == ["infeasible"] * 2
    assert all(r.predicted.params > 10_000 and r.broken == ("params <= 10",) for r in records)
    assert not list((tmp_path / "stages").glob("train-*"))
    assert "The baseline was not trained" not in (tmp_path / "report.html").read_text()
    assert "No trial finished (2 infeasible)" in (tmp_path / "report.html").read_text()
