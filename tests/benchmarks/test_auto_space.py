"""The comparison of the made space with named ones runs each search once, and reads it after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import auto_space


def test_each_space_is_searched_at_equal_time_and_with_each_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[tuple[str, int, float]] = []

    def search(space: str, data: Path, out: Path, **options: Any) -> None:
        called.append((space, options["seed"], options["device_hours"]))
        out.mkdir(parents=True)
        (out / "front.json").write_text("{}")

    monkeypatch.setattr(auto_space, "search", search)
    monkeypatch.setattr(auto_space, "hypervolume_of", lambda folder: float(folder.name[-1]))
    arguments = ["--data", "x", "--out", str(tmp_path), "--seeds", "2", "--device-hours", "0.5"]
    auto_space.main(arguments)
    assert called == [(s, seed, 0.5) for seed in (0, 1) for s in ("auto", "quick", "mobile")]
    shown = capsys.readouterr().out
    assert "0.500" in shown
    assert "0.000 to 1.000" in shown
    auto_space.main(arguments)
    assert len(called) == 6


def test_a_study_without_a_finished_trial_has_no_hypervolume(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(auto_space, "read_records", lambda folder: ())
    assert auto_space.hypervolume_of(tmp_path) == 0.0
