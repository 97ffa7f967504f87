"""What slices of shared weights are worth, from figures that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.search.slices import STARTS, Reached, Slices, ratios, starts
from benchmarks.search.table import Design, Table


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> Slices:
    """What was reached is what was recorded; slices gain 0.1 by their training."""

    def trained(self: Slices, design: Design, start: str, epochs: int, seed: int) -> Reached:
        gain = 0.1 if start == "slices" else 0.0
        return Reached(ap_small=design.ap_small + gain, seconds=epochs)

    def pruned(self: Slices, design: Design) -> Reached:
        return Reached(ap_small=design.ap_small, seconds=2)

    monkeypatch.setattr(Slices, "trained", trained)
    monkeypatch.setattr(Slices, "pruned", pruned)
    unused: Any = None
    return Slices(Table.read(), unused, unused, Path("nowhere"))


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
