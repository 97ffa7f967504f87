"""A driver that is killed at random moments loses nothing that it has acknowledged."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from launch.decisions.halving import Halving
from launch.records import TrialRecord
from launch.study.opening import open_study
from searchspace import load_space
from tests.launch.made_up import cost, metrics, result, settings_for, told
from tests.processes import FORK

KILLS, TRIALS, WORKERS = 20, 60, 3


def score(record: TrialRecord) -> float:
    return (record.number * 7 % 10) / 10


def drive(folder: Path, acknowledged: Path) -> None:
    """Run trials side by side that take no time, and write down what the study took note of."""

    def note(*words: object) -> None:
        with open(acknowledged, "a") as file:
            file.write(json.dumps(words) + "\n")

    with open_study(folder) as study:
        running: list[TrialRecord] = []
        while True:
            while len(running) < WORKERS and (record := study.propose()):
                running.append(record)
            if not running:
                return
            record = running.pop(0)
            number = record.number
            if not study.note_prediction(number, cost(50.0), 0.1):
                continue
            for epochs in study.rungs(record):
                goes_on = study.note_rung(number, epochs, metrics(score(record)), 0.1)
                note("rung", number, epochs)
                if not goes_on:
                    break
            else:
                study.end(number, result(record, ap_small=score(record)))
                note("finished", number, score(record))


@pytest.mark.slow
def test_a_driver_that_is_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "study", tmp_path / "acknowledged"
    rule = Halving(budgets=(1, 2))
    settings = settings_for(
        load_space("quick"), trials=TRIALS, sampler="random", papers=False, early_stopping=rule
    )
    with open_study(folder, settings):
        pass
    moments, killed = random.Random(0), 0
    for _ in range(KILLS):
        driver = FORK.Process(target=drive, args=(folder, acknowledged))
        driver.start()
        time.sleep(moments.uniform(0.05, 0.4))
        os.kill(driver.pid, signal.SIGKILL)
        driver.join()
        killed += driver.exitcode == -signal.SIGKILL
    assert killed > KILLS / 2, "it ended before it was killed"
    last = FORK.Process(target=drive, args=(folder, acknowledged))
    last.start()
    last.join()
    assert last.exitcode == 0
    with open_study(folder) as study:
        records = {record.number: record for record in study.records}
        assert study.propose() is None
    noted = [json.loads(line) for line in acknowledged.read_text().splitlines()]
    finished = [number for what, number, _ in noted if what == "finished"]
    assert len(finished) == len(set(finished)), "a finished trial was run again"
    for what, number, value in noted:
        record = records[number]
        if what == "finished":
            assert record.finished.figure("ap_small") == value
        else:
            assert value in record.midway
    assert sorted(records) == list(range(TRIALS)), "a number is missing"
    assert {record.state for record in records.values()} <= {"finished", "stopped"}
    states = [trial.state for trial in told(folder)]
    assert TrialState.RUNNING not in states
    assert sum(state == TrialState.COMPLETE for state in states) >= len(finished)
