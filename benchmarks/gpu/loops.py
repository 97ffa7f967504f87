"""Training from files against torchvision's, by the cases of `benchmarks.throughput`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.gpu.setting import NOT_TRIED, TABLE, Row, Setting, tried
from benchmarks.throughput.cases import GPU_CASES, TINY_CASES, Case, measured

ROUNDS = 3


def loops(setting: Setting) -> Iterator[Row]:
    """Rows for each contender of a case, in turns, then for the time of a step of ours."""
    cases = TINY_CASES if setting.brief else GPU_CASES
    for done, case in enumerate(cases):
        row: Row = {TABLE: "Training from files", "system": case.system}
        share = setting.left / (len(cases) - done)
        if share <= 0:
            yield row | NOT_TRIED
            continue
        yield from _case(case, row, time.monotonic() + share, setting)


def _case(case: Case, row: Row, until: float, setting: Setting) -> Iterator[Row]:
    rows = measured(case, setting.splits.train, setting.device, ROUNDS, until)
    while True:
        found = tried(row, lambda: next(rows, {}))
        if found == row:
            return
        for name in ("ratio", "parts"):
            found |= {f"{key}, {name}": value for key, value in found.pop(name, {}).items()}
        table = "Where its time goes" if "waiting" in found else found[TABLE]
        yield found | {TABLE: table}
