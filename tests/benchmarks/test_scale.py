"""The simulation of long searches runs all trials of a real study, and says what they cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.table import Table

from benchmarks import scale
from launch.study.opening import open_study
from searchspace import load_space
from tests.launch.made_up import settings_for


def test_all_trials_end_and_their_costs_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "MARKS", (2, 4))
    settings = settings_for(load_space("quick"), trials=6, sampler="random", papers=False)
    table = Table(*"abcde")
    with open_study(tmp_path, settings) as study:
        study.workers = 3
        scale.drive(study, 6, 3, table)
        assert [record.state for record in study.records] == ["finished"] * 6
        figures = {record.finished.figure("ap_small") for record in study.records}
    assert len(figures) == 6
    assert list(table.columns[0].cells) == ["2", "4", "6"]


def test_code_is_timed_in_a_process_of_its_own(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; Path(sys.argv[1], 'ran').touch(); print(1.5)"
    seconds, peak = scale.alone(code, tmp_path)
    assert (tmp_path / "ran").exists()
    assert seconds == 1.5
    assert 1 < peak < 1000
