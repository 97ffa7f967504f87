"""Bounds on figures: they are reported to the sampler, and the front satisfies them."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from launch.constraints import Constraint, constraints_from, parse_count
from launch.records import TrialRecord
from launch.report import load_front, write_report
from launch.study.opening import open_study
from launch.study.settings import StudySettings
from searchspace import Space
from tests.launch.made_up import result, settings_for, told

BOUNDS = constraints_from({"min_fps": 30.0, "max_params": 2e6, "max_macs": None})


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=4, papers=False, constraints=BOUNDS)


RESULTS = [(0.5, 20.0, 10**6), (0.3, 40.0, 3 * 10**6), (0.2, 60.0, 10**6), (0.1, 50.0, 10**6)]
"""Too slow, too large, the front, and what the front dominates."""


def run(folder: Path, settings: StudySettings, results: list) -> tuple[TrialRecord, ...]:
    with open_study(folder, settings) as study:
        for figures in results:
            record = study.propose()
            study.end(record.number, result(record, *figures))
        return study.records


@pytest.mark.parametrize(
    ("constraint", "value", "violation"),
    [
        (Constraint(figure="fps", sense="min", bound=30), 15, 0.5),
        (Constraint(figure="fps", sense="min", bound=30), 30, 0.0),
        (Constraint(figure="fps", sense="min", bound=30), 45, -0.5),
        (Constraint(figure="params", sense="max", bound=2e6), 3e6, 0.5),
        (Constraint(figure="params", sense="max", bound=2e6), 1e6, -0.5),
        (Constraint(figure="ap_small", sense="min", bound=0.1), None, 1.0),
        (Constraint(figure="ap_small", sense="min", bound=0), 0.1, -0.1),
    ],
)
def test_a_violation_is_the_share_of_the_bound(
    constraint: Constraint, value: float | None, violation: float
) -> None:
    assert constraint.violation(value) == pytest.approx(violation)
    assert constraint.broken_by(value) == (violation > 0)


def test_bounds_that_are_not_given_make_no_constraint() -> None:
    assert list(map(str, BOUNDS)) == ["fps >= 30", "params <= 2e+06"]


@pytest.mark.parametrize(("text", "value"), [("10M", 1e7), ("1.5G", 1.5e9), ("300 k", 3e5)])
def test_counts_may_have_units(text: str, value: float) -> None:
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["", "M", "10m", "-3", "0", "1e", "ten"])
def test_other_counts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500k, 10M"):
        parse_count(text)


def test_the_sampler_knows_who_breaks_what(settings: StudySettings, tmp_path: Path) -> None:
    records = run(tmp_path, settings, RESULTS)
    assert [r.broken for r in records] == [("fps >= 30",), ("params <= 2e+06",), (), ()]
    trials = told(tmp_path)
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert [t.constraints["fps >= 30"] > 0 for t in trials] == [True, False, False, False]
    assert trials[1].constraints["params <= 2e+06"] == pytest.approx(0.5)
    # The study reports the same if its log is lost and rebuilt from the journal.
    (tmp_path / "optuna.log").unlink()
    with open_study(tmp_path):
        assert [t.constraints for t in told(tmp_path)] == [t.constraints for t in trials]


def test_the_front_satisfies_all_constraints(settings: StudySettings, tmp_path: Path) -> None:
    records = run(tmp_path, settings, RESULTS)
    write_report(tmp_path, records, title="t", facts={})
    assert [member.number for member in load_front(tmp_path).members] == [2]
    page = (tmp_path / "report.html").read_text()
    assert "4 trials finished (2 violate a constraint); 1 is on the front." in page
    assert "violates a constraint: fps &gt;= 30" in page
    assert "not params &lt;= 2e+06" in page


def test_a_study_in_which_all_break_one_says_so(settings: StudySettings, tmp_path: Path) -> None:
    records = run(tmp_path, settings, RESULTS[:2])
    write_report(tmp_path, records, title="t", facts={})
    assert load_front(tmp_path).members == ()
    assert "None of them satisfies all constraints" in (tmp_path / "report.html").read_text()
