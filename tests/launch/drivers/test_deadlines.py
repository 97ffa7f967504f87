"""When a running trial counts as hung, and what is said of one that is waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from launch.drivers.deadlines import (
    FACTOR,
    FIRST,
    LEAST,
    QUIET,
    Limits,
    Vigil,
    Watchman,
    duration,
    limits,
)
from launch.records import Finished, TrialRecord
from launch.study.failures import Failure
from launch.study.opening import open_study
from searchspace import Space
from tests.launch.made_up import cost, result, settings_for


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vigil(clock: Clock) -> Vigil:
    return Vigil(clock)


@pytest.fixture
def two(space: Space, tmp_path: Path) -> tuple[TrialRecord, TrialRecord]:
    """Two trials of a study, not predicted yet."""
    space = space.fix("compress.pruning.kind", "none")
    with open_study(tmp_path / "study", settings_for(space, trials=2, papers=False)) as study:
        return study.propose(), study.propose()


def with_macs(record: TrialRecord, macs: int) -> TrialRecord:
    return record.model_copy(update={"predicted": cost(50).model_copy(update={"macs": macs})})


def ended(record: TrialRecord, seconds: float) -> TrialRecord:
    return record.ended(Finished(result=result(record)), seconds)


def test_while_nothing_is_known_silence_may_be_long(two: tuple[TrialRecord, TrialRecord]) -> None:
    assert limits(two[0], None).silent == FIRST
    assert limits(two[0], None, minutes=5).minutes == 5


def test_silence_is_measured_by_the_longest_trial(two: tuple[TrialRecord, TrialRecord]) -> None:
    running, other = two
    assert limits(running, ended(other, 10)).silent == LEAST
    found = limits(running, ended(other, 7200))
    assert found.silent == FACTOR * 7200
    assert found.why == "the longest trial so far took 2 hours"


def test_a_larger_detector_may_be_silent_for_longer(two: tuple[TrialRecord, TrialRecord]) -> None:
    running, other = with_macs(two[0], 5000), ended(with_macs(two[1], 1000), 7200)
    assert limits(running, other).silent == FACTOR * 7200 * 5
    # And a smaller one not for less long: it may have to wait for the other.
    small = with_macs(two[0], 10)
    assert limits(small, other).silent == FACTOR * 7200


def test_who_is_silent_is_ended(vigil: Vigil, clock: Clock) -> None:
    vigil.begin(3, Limits(silent=1800, why="the longest trial so far took 10 minutes"))
    clock.now = 1700
    vigil.hear(3, Limits(silent=1800, why="the longest trial so far took 10 minutes"))
    clock.now = 3500
    assert vigil.overruns() == {}
    clock.now = 3501
    overrun = vigil.overruns()[3]
    assert overrun.reason == (
        "no sign of life for 30 minutes (the longest trial so far took 10 minutes)"
    )
    assert overrun.seconds == 3501
    assert overrun.blame == "passing"
    vigil.end(3)
    assert vigil.overruns() == {}


def test_who_takes_too_long_is_ended_however_lively(vigil: Vigil, clock: Clock) -> None:
    allowed = Limits(minutes=30)
    vigil.begin(0, allowed)
    for clock.now in range(0, 1801, 60):
        vigil.hear(0, allowed)
        assert vigil.overruns() == {}
    clock.now = 1801
    vigil.hear(0, allowed)
    assert vigil.overruns()[0].reason == "longer than 30 minutes (--trial-timeout)"
    assert vigil.overruns()[0].blame == "design"


def test_who_is_waited_for_is_said_at_growing_intervals(vigil: Vigil, clock: Clock) -> None:
    vigil.begin(3, Limits())
    said = []
    for clock.now in range(0, 4000, 5):
        if words := vigil.words():
            said.append((clock.now, words))
    assert [at for at, _ in said] == [QUIET, 2 * QUIET, 4 * QUIET, 8 * QUIET]
    assert said[0][1] == "waiting for trial 3: no report for 5 minutes"


def test_usual_pauses_are_not_spoken_of(vigil: Vigil, clock: Clock) -> None:
    vigil.begin(3, Limits())
    vigil.begin(4, Limits())
    clock.now = 400
    vigil.hear(3, Limits())
    vigil.hear(4, Limits())
    clock.now = 400 + 700
    assert vigil.words() is None
    clock.now = 400 + 800
    assert vigil.words() == "waiting for trials 3, 4: no report for 13.3 minutes"


def test_a_search_without_a_place_to_run_says_so(vigil: Vigil, clock: Clock) -> None:
    clock.now = QUIET - 1
    assert vigil.words() is None
    clock.now = QUIET
    assert vigil.words() == "no trial has run for 5 minutes: waiting for a free place to run one"
    assert vigil.words() is None


def test_the_watchman_ends_and_says_until_he_is_relieved(vigil: Vigil, clock: Clock) -> None:
    vigil.begin(3, Limits(silent=400))
    ended, said, looked = [], [], threading.Event()

    def end(number: int, overrun: object) -> None:
        ended.append(number)
        vigil.end(number)
        looked.set()

    clock.now = 399
    with Watchman(vigil, end, said.append, tick=0.01):
        while not said:
            pass
        assert ended == []
        clock.now = 401
        assert looked.wait(10)
    assert ended == [3]
    assert said == ["waiting for trial 3: no report for 6.7 minutes"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (40, "40 seconds"),
        (60, "1 minute"),
        (300, "5 minutes"),
        (9000, "2.5 hours"),
        (3600, "1 hour"),
    ],
)
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_watchman_outlives_a_terminal_that_is_gone(vigil: Vigil, clock: Clock) -> None:
    ended = threading.Event()

    def say(words: str) -> None:
        clock.now = 900
        raise OSError("the terminal is gone")

    def end(number: int, failure: Failure) -> None:
        vigil.end(number)
        ended.set()

    vigil.begin(3, Limits(silent=600))
    clock.now = 400
    with Watchman(vigil, end, say, tick=0.01):
        assert ended.wait(10)
