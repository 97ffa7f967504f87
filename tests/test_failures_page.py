"""docs/failures.md names the tests that hold it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "failures.md"


def test_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 20
    for file, test in named:
        places = [folder / file for folder in (ROOT / "tests", ROOT / "tests" / "launch")]
        (there,) = [place for place in places if place.exists()]
        assert f"def {test}(" in there.read_text(encoding="utf-8"), f"{file}::{test}"


def test_each_row_names_one() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    headings = [row for row in rows if row.endswith("| Test |")]
    assert len(headings) == 4
    assert [row for row in rows if "::" not in row] == headings
