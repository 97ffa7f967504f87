"""What slices of shared weights are worth, from figures that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.search.slices import STARTS, Reached, Slices, ratios, record, starts
from benchmarks.search.table import Design, Table
from detectors.data.shapes import ShapesConfig
from launch.trial.shared_scores import SharedTask


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.read()


@pytest.fixture
def slices(table: Table, monkeypatch: pytest.MonkeyPatch) -> Slices:
    """What was reached is what was recorded; slices gain 0.1 by their training."""

    def trained(self: Slices, design: Design, start: str, epochs: int, seed: int) -> Reached:
        gain = 0.1 if start == "slices" else 0.0
        return Reached(ap_small=design.ap_small + gain, seconds=epochs)

    def pruned(self: Slices, design: Design) -> Reached:
        return Reached(ap_small=design.ap_small, seconds=2)

    monkeypatch.setattr(Slices, "trained", trained)
    monkeypatch.setattr(Slices, "pruned", pruned)
    unused: Any = None
    return Slices(table, unused, unused, Path("nowhere"))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_starts_are_compared_over_the_front_of_unpruned_designs(slices: Slices) -> None:
    *_, means, times = map(cells, starts(slices, seeds=2))
    recorded = float(means[1])
    gains = [0.1 if start == "slices" else 0.0 for start, _ in STARTS]
    assert [float(mean) - recorded for mean in means[2:]] == pytest.approx(gains, abs=0.002)
    assert times[2:] == [f"{epochs:.1f} s" for _, epochs in STARTS]


def test_ratios_are_compared_with_the_same_designs_as_they_were_recorded(slices: Slices) -> None:
    rows = [cells(line) for line in ratios(slices, count=8)][2:]
    assert [row[:2] for row in rows] == [["0.2", "8"], ["0.4", "8"], ["0.6", "8"], ["all", "24"]]
    assert all(row[2] == row[3] and row[4] == "1.00" for row in rows)


def test_pruned_designs_are_compared_with_their_unpruned_ones(table: Table) -> None:
    *rows, whole = map(cells, record(table))
    assert [row[:2] for row in rows[2:]] == [["0.2", "64"], ["0.4", "64"], ["0.6", "64"]]
    assert all(0.9 < float(row[2]) < 1 for row in rows[2:])
    left = [float(row[3]) for row in rows[2:]]
    assert sorted(left, reverse=True) == left
    assert whole[1] == "192"


@pytest.mark.slow
def test_a_design_is_trained_and_pruned_from_its_slices_once(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = ShapesConfig(train_images=8, val_images=4, size=96, seed=1)
    monkeypatch.setattr("benchmarks.search.shared.SHAPES", shapes)
    dense, pruned = (
        min((d for d in table.designs if (d.result.compact is None) == alone), key=lambda d: -d.fps)
        for alone in (True, False)
    )
    designs = tuple(map(table.config, (dense, pruned)))
    task = SharedTask(baseline=designs[0], designs=designs, steps=1, device="cpu")
    monkeypatch.setattr("benchmarks.search.slices.task_for", lambda table, steps: task)
    slices = Slices.of(1, tmp_path)
    own = slices.trained(dense, "slices", 1, seed=0)
    other = slices.trained(dense, "as recorded", 1, seed=0)
    small = slices.pruned(pruned)
    assert all(0 <= found.ap_small <= 1 for found in (own, other, small))
    assert all(found.seconds > 0 for found in (own, other, small))
    assert len(list((tmp_path / "stages").glob("train-*/start.json"))) == 2
    monkeypatch.setattr("benchmarks.search.slices.Stages", None)
    monkeypatch.setattr("benchmarks.search.slices.plan_pruning", None)
    assert slices.trained(dense, "slices", 1, seed=0) == own
    assert slices.pruned(pruned) == small
