"""The comparison of the made space with named ones begins each search once, and goes on with it
after."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import auto_space
from launch.files import SETTINGS
from launch.trial import run


def test_each_space_is_searched_at_equal_time_and_with_each_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[tuple[str, int, float]] = []
    resumed: list[str] = []

    def search(space: str, data: Path, out: Path, **options: Any) -> None:
        called.append((space, options["seed"], options["device_hours"]))
        out.mkdir(parents=True)
        (out / SETTINGS).write_text("{}")

    monkeypatch.setattr(auto_space, "search", search)
    monkeypatch.setattr(auto_space, "resume", lambda out, **given: resumed.append(out.name))
    monkeypatch.setattr(auto_space, "_weights", lambda space: None)
    scores = {"auto-0": 0.5, "auto-1": 0.3, "quick-0": 0.2, "quick-1": 0.2}
    monkeypatch.setattr(
        auto_space, "points_of", lambda folder: [(scores.get(folder.name, 0.1), math.e), (0, 1)]
    )
    arguments = ["--data", "x", "--out", str(tmp_path), "--seeds", "2", "--minutes", "30"]
    auto_space.main(arguments)
    assert called == [(s, seed, 0.5) for seed in (0, 1) for s in ("auto", "quick", "mobile")]
    shown = capsys.readouterr().out
    assert "0.400 (0.300 to 0.500)" in shown
    assert resumed == []
    auto_space.main(arguments)
    assert len(called) == 6
    assert len(resumed) == 6


def test_hypervolumes_have_one_reference_point() -> None:
    slow, fast, none = Path("slow"), Path("fast"), Path("none")
    found = auto_space.hypervolumes({slow: [(0.5, 1.0)], fast: [(0.2, 2.0)], none: []})
    assert found == {
        slow: pytest.approx(0.5 * math.log(2)),
        fast: pytest.approx(0.2 * math.log(4)),
        none: 0.0,
    }


def test_trials_are_timed_by_the_processor() -> None:
    with auto_space.cpu_time():
        assert run.time.monotonic is time.process_time
    assert run.time is time


def test_a_study_without_a_finished_trial_has_no_points(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(auto_space, "read_records", lambda folder: ())
    assert auto_space.points_of(tmp_path) == []
