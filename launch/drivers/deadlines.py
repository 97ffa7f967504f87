"""When a running trial counts as hung, and messages while waiting for it.

A trial's reports - of an epoch, a rung, a prediction - are its signs of life. How long it may be
silent depends on the durations of earlier trials; its total time is limited by the user.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from launch.records import TrialRecord
from launch.study.failures import Failure
from searchspace.words import numbered

FIRST = 12 * 3600.0
"""Seconds that a trial may be silent while no trial has finished."""

LEAST = 600.0
"""The least seconds that a trial may be silent."""

FACTOR = 3.0
"""The permitted silence, as a multiple of the longest trial's duration. A trial may have to wait
for another one that trains a shared detector, and then for its turn to measure."""

QUIET = 300.0
"""Seconds of silence after which a message names the trials that are waited for."""

TICK = 5.0
"""Seconds between two checks of the trials."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """The time limits of a trial.

    Attributes:
        silent: permitted seconds without a sign of life.
        why: the reason for `silent`, for the report.
        minutes: total time; None for no limit.
    """

    silent: float = FIRST
    why: str = "none has finished yet"
    minutes: float | None = None

    def broken(self, running: float, silent: float) -> Failure | None:
        """The failure of a trial that has run, or been silent, for too long; None if it has not.

        A hang may have an external cause, so the trial is retried on resuming.
        """
        if self.minutes is not None and running > 60 * self.minutes:
            said = f"{self.minutes:g} minute{'' if self.minutes == 1 else 's'}"
            return Failure(f"longer than {said} (--trial-timeout)", "design", running)
        if silent > self.silent:
            reason = f"no sign of life for {duration(silent)} ({self.why})"
            return Failure(reason, "passing", running)
        return None


def limits(
    record: TrialRecord, longest: TrialRecord | None, minutes: float | None = None
) -> Limits:
    """The limits of a trial, from the duration of another one of its study.

    Args:
        longest: the finished trial that took longest, if any has finished.
        minutes: the user's limit of a trial's total time.
    """
    if longest is None:
        return Limits(FIRST, minutes=minutes)
    seconds = FACTOR * longest.seconds * max(1.0, _work(record) / (_work(longest) or float("inf")))
    why = f"the longest trial so far took {duration(longest.seconds)}"
    return Limits(max(LEAST, seconds), why, minutes)


def _work(record: TrialRecord) -> float:
    """Size of the trained network in multiply-accumulates per image; 0 if not known yet."""
    known = record.predicted or (record.result.final.cost if record.result else None)
    return known.macs * sum(record.config.epochs) if known else 0.0


@dataclass
class _Life:
    """A running trial.

    Attributes:
        said: seconds of silence at the last message about it.
    """

    limits: Limits
    started: float
    heard: float
    said: float = 0.0


class Vigil:
    """Watches running trials, by number. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lives: dict[int, _Life] = {}
        self._lock = threading.Lock()
        self._changed, self._said = clock(), 0.0
        self._usual = 0.0

    def begin(self, number: int, limits: Limits) -> None:
        with self._lock:
            now = self._clock()
            self._lives[number] = _Life(limits, now, now)
            self._changed, self._said = now, 0.0

    def hear(self, number: int, limits: Limits) -> None:
        """Note a sign of life of a trial, and its updated limits."""
        with self._lock:
            if life := self._lives.get(number):
                now = self._clock()
                self._usual = max(self._usual, now - life.heard)
                life.heard, life.limits, life.said = now, limits, 0.0

    def end(self, number: int) -> None:
        with self._lock:
            self._lives.pop(number, None)
            self._changed, self._said = self._clock(), 0.0

    def overruns(self) -> dict[int, Failure]:
        """The trials that must be ended, with their failures."""
        with self._lock:
            now = self._clock()
            found = {
                number: life.limits.broken(now - life.started, now - life.heard)
                for number, life in self._lives.items()
            }
        return {number: overrun for number, overrun in found.items() if overrun}

    def words(self) -> str | None:
        """A message about trials that have been silent for long; None if there is none due."""
        with self._lock:
            now = self._clock()
            if not self._lives:
                return self._idle_words(now - self._changed)
            silent = {
                number: now - life.heard
                for number, life in self._lives.items()
                # No message below twice the usual silence, or before it has doubled again.
                if now - life.heard >= max(QUIET, 2 * life.said, 2 * self._usual)
            }
            for number, seconds in silent.items():
                self._lives[number].said = seconds
        if not silent:
            return None
        trials = numbered("trial", sorted(silent))
        return f"waiting for {trials}: no report for {duration(min(silent.values()))}"

    def _idle_words(self, seconds: float) -> str | None:
        if seconds < max(QUIET, 2 * self._said):
            return None
        self._said = seconds
        return f"no trial has run for {duration(seconds)}: waiting for a free place to run one"


class Watchman:
    """A thread that checks the trials periodically while the context is active.

    Attributes:
        vigil: the running trials.
        end: ends a trial that exceeded a limit; called again until the trial has ended.
        say: called with messages about trials that are waited for.
    """

    def __init__(
        self,
        vigil: Vigil,
        end: Callable[[int, Failure], None],
        say: Callable[[str], None],
        tick: float | None = None,
    ) -> None:
        self._vigil, self._end, self._say = vigil, end, say
        self._tick = TICK if tick is None else tick
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchman", daemon=True)

    def __enter__(self) -> Watchman:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._tick):
            try:
                self._look()
            except Exception as error:
                # For example the terminal is gone; the trials must still be watched.
                logger.warning(f"a check of the running trials failed: {error}")

    def _look(self) -> None:
        for number, failure in self._vigil.overruns().items():
            self._end(number, failure)
        if words := self._vigil.words():
            self._say(words)


def duration(seconds: float) -> str:
    """A duration in words: 40 seconds, 5 minutes, 2.5 hours."""
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = f"{seconds / length:.1f}".removesuffix(".0")
            return f"{count} {unit}{'' if count == '1' else 's'}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
