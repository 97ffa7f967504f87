"""A clock that is set, by hours and in either direction, changes nothing that a search decides."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from detectors.lock_holders import birth_of
from detectors.locks import held, holder_of, living_holder
from launch.drivers import local
from launch.records import TrialRecord
from launch.searches import search
from launch.study.opening import open_study, read_records
from searchspace import Space
from tests.launch.made_up import result, settings_for

ROOT = Path(__file__).parents[2]
ROOMS = ("searchspace", "detectors", "compress", "launch")

READERS = {
    "detectors/data/fetched.py": "which data were used last; whether a file is that of an address",
    "detectors/data/node_cache.py": "which split was used last, to remove the others first",
    "detectors/locks.py": "since when a lock is held, in messages",
    "detectors/quiet.py": "since when a step lasts, in messages",
    "launch/cli/cache.py": "when a split was used last, in a table",
    "launch/cli/options.py": "the name of a folder, which is refused if it is there",
    "launch/cli/view.py": "how long ago a running trial was heard of, on the screen",
    "launch/drivers/leftovers.py": "whether a folder without a lock is a minute old",
    "launch/report/dashboard.py": "when a trial began and ended, in Optuna's dashboard",
    "launch/report/progress.py": "how long a search has run, on the screen",
    "launch/study/optuna_study.py": "the name of a damaged log that is put aside",
    "launch/trial/claims.py": "the name of a claim; its age is told by that place's own clock",
    "launch/trial/copies.py": "whether a file has changed since it was sent",
    "launch/trial/remote_study.py": "whether a file at an address is newer than its copy",
    "launch/trial/progress.py": "when a line was noted, for those who watch",
}
"""The files that read the time of day, and what for. Limits, budgets, leases and pauses rest on the
monotonic clock."""


def reads_time_of_day(tree: ast.Module) -> bool:
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    asked = ("time.time", "time.time_ns", "datetime.now", "datetime.fromtimestamp")
    return bool(names & set(asked)) or any(
        name.endswith((".st_mtime", ".st_mtime_ns")) for name in names
    )


def test_only_what_is_shown_or_named_reads_the_time_of_day() -> None:
    found = {
        str(file.relative_to(ROOT))
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if reads_time_of_day(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == READERS.keys()


@pytest.fixture(params=[-5 * 3600.0, 5 * 3600.0], ids=["back", "ahead"])
def jump(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """The clock jumps once a second, there and back."""
    true, start = time.time, time.monotonic()

    def jumping() -> float:
        return true() + request.param * (int(time.monotonic() - start + 1) % 2)

    monkeypatch.setattr(time, "time", jumping)
    return request.param


def test_a_jump_ends_no_budget(jump: float, space: Space, tmp_path: Path) -> None:
    settings = settings_for(space, trials=3, minutes=30.0, papers=False)
    outlooks = []
    with open_study(tmp_path, settings, lambda _, outlook: outlooks.append(outlook)) as study:
        for _ in range(3):
            record = study.propose()
            assert record is not None
            study.end(record.number, result(record))
    assert all(29 < outlook.minutes_left <= 30 for outlook in outlooks), outlooks


def test_a_jump_ends_no_trial_and_makes_none_longer(
    jump: float, space: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(*arguments: object, **named: object) -> object:
        record: TrialRecord = read_records(tmp_path / "s")[-1]
        time.sleep(1.2)
        return result(record)

    monkeypatch.setattr(local, "attempt", attempt)
    monkeypatch.setattr("launch.drivers.deadlines.TICK", 0.1)
    search(
        space, shapes_folder, tmp_path / "s", trials=2, driver="local", device="cpu", papers=False,
        trial_timeout=0.5,
    )  # fmt: skip
    assert [record.state for record in read_records(tmp_path / "s")] == ["finished"] * 2


def test_a_process_that_holds_a_lock_lives_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time at which a process began, as libraries give it, moves with the clock: a living
    search would pass for a killed one, whose Ray is ended."""
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create_time(self) + 5 * 3600)
    with held(tmp_path / "lock", "testing"):
        holder = living_holder(tmp_path / "lock")
        assert holder is not None
        assert holder.pid == os.getpid()
        with open(tmp_path / "lock") as file:
            assert holder_of(file.fileno()) == holder
    later = holder.born is not None and holder.born + 1
    assert not type(holder)(**{**vars(holder), "born": later}).is_alive
    assert birth_of(2**22 + 1) is None
