"""All trials of a study as a table, written and read back."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from launch.figures import DEFAULT, FIGURES
from launch.report import load_front, write_report
from launch.report.trial_table import trial_table, write_table
from searchspace.errors import InputError
from tests.launch.report.studies import STUDY, ended, record

MIXED = [
    *STUDY,
    ended(6, "infeasible", broken=("fps >= 60",), params={"detector.neck.kind": "fused"}),
    record(7, 0.3, 40, broken=("fps >= 60",), params={"a": True, "b": "x"}),
]


def test_each_trial_has_its_state_reason_figures_and_choices():
    table = trial_table(MIXED, DEFAULT).set_index("number")

    assert list(table.index) == list(range(8))
    assert list(table.index[table["on_front"]]) == [1, 2]
    assert list(table["state"][4:7]) == ["failed", "running", "infeasible"]
    assert table["reason"][4] == "TrainingFailed: not finite"
    assert table["reason"][6] == table["reason"][7] == "not fps >= 60"
    assert set(FIGURES) <= set(table.columns)
    assert table["ap_small"][7] == 0.3
    assert table["detector.neck.kind"][6] == "fused"
    assert pandas.isna(table["detector.neck.kind"][1])
    assert (table["epochs"][2], table["finetune_epochs"][2]) == (100, 20)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_written_table_is_read_back(tmp_path: Path, ending: str):
    table, file = trial_table(MIXED, DEFAULT), tmp_path / f"trials{ending}"
    write_table(table, file)
    read = pandas.read_csv(file) if ending == ".csv" else pandas.read_parquet(file)

    assert list(read.columns) == list(table.columns)
    assert list(read["fps"].dropna()) == list(table["fps"].dropna())
    assert list(read["state"]) == list(table["state"])


def test_a_file_of_another_ending_is_refused_by_name(tmp_path: Path):
    with pytest.raises(InputError, match=r"trials\.xlsx: the file has to end in \.csv or"):
        write_table(trial_table(STUDY, DEFAULT), tmp_path / "trials.xlsx")


def test_a_study_without_trials_has_a_table_without_rows():
    table = trial_table([], DEFAULT)
    assert len(table) == 0
    assert {"number", "state", *FIGURES} <= set(table.columns)


def test_a_front_as_a_table_has_its_members_figures(tmp_path: Path):
    write_report(tmp_path, MIXED, title="A study", facts={})
    front = load_front(tmp_path)
    table = front.to_pandas()

    assert list(table["number"]) == [member.number for member in front.members]
    assert list(table["ap_small"]) == [member.figures.ap_small for member in front.members]
    assert "pruned" in table["design"][1]
