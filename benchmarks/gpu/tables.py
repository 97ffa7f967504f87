"""Results as Markdown: a table for each table name, with the headings of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks.gpu.setting import ERROR, TABLE, Row

NOTE = "note"
LAST_LINES = 3
LONG = 120
"""Characters of a cell after which a text is cut; the JSON file has the full text."""


def markdown(machine: Mapping[str, Any], parts: Mapping[str, Row]) -> str:
    """The machine, then each part's tables; errors as the last lines of their tracebacks."""
    lines = [", ".join(f"{k} {_cell(v)}" for k, v in machine.items() if _shown(v))]
    for name, part in parts.items():
        lines += ["", f"## {name} ({part['seconds']:.0f} s)"]
        lines += ["", *part[ERROR].splitlines()[-LAST_LINES:]] if part.get(ERROR) else []
        for title in dict.fromkeys(row[TABLE] for row in part["rows"]):
            rows = [row for row in part["rows"] if row[TABLE] == title]
            lines += ["", f"**{title}**", "", *_table(rows)]
    return "\n".join(lines)


def _table(rows: Iterable[Row]) -> Iterator[str]:
    told = [_told(row) for row in rows]
    headings = list(dict.fromkeys(name for row in told for name in row))
    # Errors and reasons come last.
    headings.sort(key=lambda name: name == NOTE)
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in told:
        yield f"| {' | '.join(row.get(name, '') for name in headings)} |"


def _told(row: Row) -> dict[str, str]:
    cells = {k: _cell(v) for k, v in row.items() if k not in (TABLE, ERROR) and _shown(v)}
    if row.get(ERROR):
        cells[NOTE] = _cell(row[ERROR].strip().splitlines()[-1])
    return cells


def _shown(value: Any) -> bool:
    """Whether it fits into a cell."""
    if isinstance(value, str):
        return len(value.splitlines()) == 1
    return value is not None and not isinstance(value, (list, dict))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    text = str(value).replace("|", "/")
    return text if len(text) <= LONG else f"{text[:LONG]}..."
