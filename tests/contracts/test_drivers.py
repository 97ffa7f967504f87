"""The contract of every driver, and of the one in docs/extending.md."""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.decisions.halving import Halving
from launch.drivers.choose import DRIVERS, make_driver
from launch.drivers.driver import Driver
from launch.records import TrialRecord
from launch.searches import search
from launch.study.opening import read_records
from launch.trial.errors import SettingsError
from searchspace import Space
from tests.documents import example
from tests.launch.conftest import shapes_folder, space, space_file

__all__ = ["shapes_folder", "space", "space_file"]


@pytest.fixture
def new_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """The driver of the example; its processes import it by its name."""
    file = tmp_path / "plugins" / "example_of_a_driver.py"
    file.parent.mkdir()
    file.write_text(example("A driver"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(file.parent))
    module = importlib.import_module(file.stem)
    yield module.NewProcesses()
    del sys.modules[file.stem]


@pytest.fixture(
    params=[
        pytest.param("local", marks=pytest.mark.slow),
        pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.xdist_group("ray")]),
        pytest.param("new_processes", marks=pytest.mark.slow),
    ]
)
def driver(request: pytest.FixtureRequest) -> str | Driver:
    name = request.param
    return name if name in DRIVERS else request.getfixturevalue(name)


def endings(folder: Path) -> Counter[int]:
    """How many lines of the journal end each trial."""
    lines = (folder / "journal.jsonl").read_text().splitlines()
    records = [TrialRecord.model_validate_json(line) for line in lines]
    return Counter(r.number for r in records if r.ending)


def test_a_driver_runs_a_study_to_its_end(
    driver: str | Driver, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    short = space.fix("train.epochs", 3).fix("compress.pruning.kind", "none")
    front = search(
        short, shapes_folder, out, trials=4, driver=driver, device="cpu", papers=False,
        early_stopping=Halving(budgets=(2,)), sampler="random", inherit=True,
    )  # fmt: skip
    records = read_records(out)
    assert len(records) == 4
    assert {record.state for record in records} <= {"finished", "stopped"}
    assert front.trials["finished"] == sum(record.state == "finished" for record in records) > 0
    # Each ending is reported once; another chance, and only that, ends a second time.
    assert endings(out) == {r.number: 2 if r.promoted else 1 for r in records}
    for record in records:
        folder = out / record.folder
        # What a detector is to cost is asked about before its training, and each rung in it.
        assert record.predicted is not None
        assert set(record.midway) == ({2} if record.parent is None else set())
        assert json.loads((folder / "trial.json").read_text())["seed"] == record.config.seed
        assert (folder / "log.txt").exists()
        assert (folder / "result.json").exists() == (record.state == "finished")
        # Heirs start from the detector of their parent.
        started = folder / "ancestor.json"
        assert started.exists() == (record.parent is not None)
        if record.parent is not None:
            parent = records[record.parent].result.trained
            assert Path(json.loads(started.read_text())["folder"]).parent.name == parent
    assert any(record.parent is not None for record in records)
    # All artefacts lie where trials share them.
    assert list((out / "stages").glob("train-*/detector"))
    assert not list(out.glob("trials/*/stages"))


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_takes_its_own_options_alone(name: str) -> None:
    made = make_driver(name)
    assert made.name == name
    assert made.here
    assert make_driver(made) is made
    with pytest.raises(SettingsError, match=f"address x: set it in {type(made).__name__}"):
        make_driver(made, address="x")


def test_options_of_another_driver_are_refused() -> None:
    with pytest.raises(SettingsError, match="driver 'slurm': choose from ray, local"):
        make_driver("slurm")
    with pytest.raises(SettingsError, match="measure_on edge: only the driver ray has this option"):
        make_driver("local", measure_on="edge")
    assert make_driver("local", measure_on=None).measure_on is None
    assert not make_driver("ray", measure_on="edge").here
