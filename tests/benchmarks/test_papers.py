"""The papers' tables in the documentation are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.papers import markdown, published_cells
from searchspace.papers.tables import TABLES

DOCUMENT = Path("docs/papers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_the_document_holds_the_published_figures(name: str) -> None:
    title, _, source, *_ = markdown(name, counted=False)
    assert title in DOCUMENT
    section = DOCUMENT.partition(title)[2].partition("\n##")[0]
    assert source in section
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    expected = [
        f"| {' | '.join(published_cells(TABLES[name], row))} |" for row in TABLES[name].rows
    ]
    assert len(rows) == len(expected)
    for row, published in zip(rows, expected, strict=True):
        assert row.startswith(published)


def test_counts_of_ours_stand_beside_them() -> None:
    *_, row = markdown("mfssd-1")
    assert row.startswith("| `mfssd_pruned` | 22.8 M | 33.71 M | ")
