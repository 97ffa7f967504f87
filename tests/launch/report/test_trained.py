"""A detector after a long training beside the front that it is from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launch.report.trained import AgainstFront, against_front
from launch.trial.result import TrialResult
from searchspace import Space
from tests.launch.made_up import settings_for
from tests.launch.report.studies import STUDY, record

HERE = Path("runs/mine")
FRONT = 2  # Trials 1 and 2 of STUDY.


@pytest.fixture
def against(space: Space, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compare a result with the front of STUDY."""

    def compare(result: TrialResult, data: str = "f", origin: str = "", **options: Any) -> Any:
        settings = settings_for(space, **options)
        monkeypatch.setattr("launch.report.trained.read_settings", lambda folder: settings)
        monkeypatch.setattr("launch.report.trained.read_records", lambda folder: STUDY)
        return against_front(HERE, result, data, origin)

    return compare


def result(ap_small: float | None, fps: float, **figures: Any) -> TrialResult:
    return record(9, ap_small, fps, figures=figures).finished


def test_it_says_whom_it_dominates(against: Any) -> None:
    found: AgainstFront = against(result(0.30, 60))
    assert (found.members, found.dominates, found.dominated_by, found.joins) == (
        FRONT, (1,), (), True,
    )  # fmt: skip
    before, after = found.hypervolume
    assert before < after
    said, volume = found.sentences()
    assert said == "It would be on the front of 2 trials in runs/mine; it dominates trial 1."
    assert volume.startswith("Hypervolume of the front: ")
    between: AgainstFront = against(result(0.15, 80))
    assert (between.dominates, between.dominated_by, between.joins) == ((), (), True)
    assert "it dominates none of them" in next(between.sentences())
    worse: AgainstFront = against(result(0.11, 54))
    assert (worse.dominated_by, worse.joins) == ((1, 2), False)
    assert next(worse.sentences()).endswith("in runs/mine: trials 1, 2 dominate it.")
    assert worse.hypervolume[0] == worse.hypervolume[1]


def test_the_noise_of_its_speed_decides_nothing(against: Any) -> None:
    # Trial 1 measured 55 FPS with this network.
    assert against(result(0.25, 54)).dominates == ()
    assert against(result(0.25, 54), origin="0001").dominates == (1,)
    assert against(result(0.25, 54, params=7), origin="0001").dominates == ()


@pytest.mark.parametrize(
    ("figures", "data", "why"),
    [
        ({}, "g", "other data"),
        ({"device": "another"}, "f", "measured on another, 1 thread, and theirs on some processor"),
        ({"threads": 2}, "f", "measured on some processor, 2 threads, and theirs on"),
        ({"ap_small": None}, "f", "its AP_small is not known"),
    ],
)
def test_what_cannot_be_compared_is_said(
    against: Any, figures: dict[str, Any], data: str, why: str
) -> None:
    ap_small = figures.get("ap_small", 0.9)
    others = {name: value for name, value in figures.items() if name != "ap_small"}
    other = result(ap_small, 90, **others)
    found: AgainstFront = against(other, data)
    assert why in str(found.why_not)
    assert not found.joins
    assert found.hypervolume is None
    assert next(found.sentences()).startswith("It cannot be compared with the front of 2 trials")


def test_speeds_of_other_devices_do_not_matter_where_none_is_an_objective(against: Any) -> None:
    other = result(0.9, 90, device="another", params=1)
    assert against(other, objectives=("ap_small", "params")).dominates == (1,)
