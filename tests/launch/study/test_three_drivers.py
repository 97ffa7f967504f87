"""Three drivers of one study in a database, of which one is killed and one frozen."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from launch.study import heart, shared_journal
from launch.study.opening import open_study, read_records
from tests.launch.made_up import result
from tests.launch.study.sharing import anywhere, settings_of, told
from tests.processes import FORK

TRIALS = 30

SCORES = {"killed": 0.1, "steady": 0.2, "frozen": 0.3}
"""By driver, the AP_small of all of its results."""


def drive(name: str, folder: Path, address: str) -> None:
    """Run trials that take no time; one driver freezes in its third."""
    heart.BEAT, shared_journal.NEWS = 0.5, 0.1
    settings = settings_of(address, "three", trials=TRIALS)

    def note(what: str, number: int) -> None:
        with open(folder / f"{name}.notes", "a") as file:
            file.write(json.dumps([what, number]) + "\n")

    begun = 0
    with open_study(folder / name, settings) as study:
        while True:
            record = study.propose()
            if record is None and not study.waits:
                return
            if record is None:
                time.sleep(0.05)
                continue
            begun += 1
            note("begun", record.number)
            if name == "frozen" and begun == 3:
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.1)
            study.end(record.number, result(record, ap_small=SCORES[name]))
            if study.record(record.number).figure("ap_small") == SCORES[name]:
                note("ended", record.number)
            else:
                note("lost", record.number)


def noted(folder: Path, name: str, what: str) -> list[int]:
    file = folder / f"{name}.notes"
    lines = file.read_text().splitlines() if file.exists() else []
    return [number for kind, number in map(json.loads, lines) if kind == what]


def until(reached: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_of_three_drivers_one_is_killed_and_one_frozen_and_nothing_is_lost(
    address: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    drivers = {name: FORK.Process(target=drive, args=(name, tmp_path, address)) for name in SCORES}
    for driver in drivers.values():
        driver.start()
    until(lambda: len(noted(tmp_path, "killed", "begun")) > 3)
    time.sleep(random.uniform(0.0, 0.3))
    os.kill(drivers["killed"].pid, signal.SIGKILL)
    until(lambda: len(noted(tmp_path, "frozen", "begun")) == 3)
    frozen = noted(tmp_path, "frozen", "begun")[-1]
    # It comes back when another has ended its trial.
    until(lambda: frozen in noted(tmp_path, "steady", "ended"))
    os.kill(drivers["frozen"].pid, signal.SIGCONT)
    for name in ("steady", "frozen"):
        drivers[name].join(300)
        assert drivers[name].exitcode == 0

    records = {record.number: record for record in read_records(tmp_path / "steady")}
    assert sorted(records) == list(range(TRIALS))
    assert {record.state for record in records.values()} == {"finished"}
    assert len({record.as_drawn.digest() for record in records.values()}) == TRIALS
    ended = {name: noted(tmp_path, name, "ended") for name in SCORES}
    for name, numbers in ended.items():
        assert all(records[n].figure("ap_small") == SCORES[name] for n in numbers), name
    everyone = [number for numbers in ended.values() for number in numbers]
    assert len(everyone) == len(set(everyone)), "a trial was ended twice"
    assert noted(tmp_path, "frozen", "lost") == [frozen]

    trials = told(address, "three")
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    complete = [t.user_attrs["number"] for t in trials if t.state == TrialState.COMPLETE]
    assert sorted(complete) == list(range(TRIALS))
    # The killed one is resumed, and its report has all trials.
    assert len(read_records(tmp_path / "killed")) < TRIALS
    with open_study(tmp_path / "killed", storage=address) as study:
        assert study.propose() is None
    assert [anywhere(r) for r in read_records(tmp_path / "killed")] == list(
        map(anywhere, records.values())
    )
