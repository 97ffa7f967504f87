"""Searches that tests start, and what they leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from launch.records import TrialRecord
from launch.study.opening import read_records

T = TypeVar("T")

PATIENCE = 240
"""Seconds after which a search counts as hung."""


def start(
    *arguments: object, command: str = "search", output: IO[str] | None = None
) -> subprocess.Popen[bytes]:
    """`sparrow search`, or another command, in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "launch.cli", command, *map(str, arguments)]
    return subprocess.Popen(
        words, env=environment, start_new_session=True, stdout=output, stderr=output
    )


def wait_for(
    condition: Callable[[], bool], driver: subprocess.Popen[bytes], patience: float = PATIENCE
) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert driver.poll() is None, "the command has ended"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def soon(found: Callable[[], T]) -> T:
    """What a function finds, as soon as it finds something."""
    end = time.monotonic() + PATIENCE
    while not (what := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return what


def finished(folder: Path) -> list[TrialRecord]:
    if not (folder / "journal.jsonl").exists():
        return []
    return [r for r in read_records(folder) if r.state == "finished"]


def endings(folder: Path) -> Counter[int]:
    """How many lines of the journal end each trial."""
    lines = (folder / "journal.jsonl").read_text().splitlines()
    records = [TrialRecord.model_validate_json(line) for line in lines]
    return Counter(r.number for r in records if r.state != "running")


def ray_workers(started_by: int, title: bytes = b"ray::ImplicitFunc") -> list[int]:
    """Process ids of Ray's processes with a title, such as those of trials, in the session of a
    search."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                same_session = os.getsid(int(entry.name)) == started_by
            except OSError:
                continue
            if same_session and words.startswith(title):
                found.append(int(entry.name))
    return found


def reported_epochs(folder: Path) -> Counter[str]:
    """How many epochs of each detector Ray's workers reported, over all trials."""
    lines = [line for file in folder.glob("ray/*/result.json") for line in file.open()]
    return Counter(report["stage"] for report in map(json.loads, lines) if "stage" in report)
