"""A small search with Ray, as a user starts it, whose trials share the GPU."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.gpu.setting import QUICK, TABLE, Row, Setting
from launch.records import TrialRecord
from launch.study.opening import read_records

TRIALS, BRIEF_TRIALS = 4, 1
SHARING = 2
"""Trials that run on the GPU at a time."""

SHARE = 0.6
"""Share of the part's time in which trials may start; Ray's start and the last trial take the
rest."""

NEEDED = ("ap_small", "fps")
STUDY = "study"


def search(setting: Setting) -> Iterator[Row]:
    """A row for the search, then one for each of its trials."""
    folder = setting.out / STUDY
    command = _command(setting)
    start = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    records = read_records(folder) if folder.is_dir() else ()
    states = Counter(record.state for record in records)
    results = [record.result for record in records if record.result]
    yield {
        TABLE: "Search",
        "exit status": ended.returncode,
        "seconds": seconds,
        **states,
        "trials/min": 60 * len(results) / seconds,
        "all figures there": bool(results)
        and all(result.figure(name) is not None for result in results for name in NEEDED),
        "device": results[0].final.cost.device if results else None,
        "command": command,
        "output": ended.stdout,
        "errors": ended.stderr,
    }
    yield from (_trial(record) for record in records)


def _command(setting: Setting) -> list[str]:
    """The search's command line; without Ray with `--brief`, as other tests start Ray."""
    options = {
        "--data": setting.data,
        "--space": QUICK,
        "--out": setting.out / STUDY,
        "--device": setting.device.type,
        "--trials": BRIEF_TRIALS if setting.brief else TRIALS,
        "--minutes": max(0.1, SHARE * setting.left / 60),
        "--driver": "local" if setting.brief else "ray",
    }
    if setting.device.type == "cuda":
        options["--trials-per-gpu"] = SHARING
    words = [word for pair in options.items() for word in map(str, pair)]
    return [sys.executable, "-m", "launch.cli", "search", *words]


def _trial(record: TrialRecord) -> Row:
    row: Row = {
        TABLE: "Trials of the search",
        "trial": record.number,
        "state": record.state,
        "seconds": record.seconds,
        "reason": record.reason,
    }
    if record.result is None:
        return row
    cost = record.result.final.cost
    figures = {name: record.result.figure(name) for name in (*NEEDED, "ap")}
    return row | figures | {"form": f"{cost.runtime} {cost.precision}", "doubt": cost.doubt}
