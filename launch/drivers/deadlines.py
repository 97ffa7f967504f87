"""When a running trial counts as hung, and what is said while it is waited for.

A trial's reports - of an epoch, a rung, a prediction - are its signs of life. How long it may be
silent follows from what trials have taken so far; how long it may take at all is the user's choice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launch.records import TrialRecord
from launch.study.failures import Failure

FIRST = 12 * 3600.0
"""Seconds that a trial may be silent while none has finished yet."""

LEAST = 600.0
"""Seconds that a trial may be silent in any case."""

FACTOR = 3.0
"""How many times as long as the longest trial so far took one may be silent. It may have to wait
until another one has trained what both need, and then for its turn to measure."""

QUIET = 300.0
"""Seconds of silence after which it is said who is waited for."""

TICK = 5.0
"""Seconds between two looks at the trials."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How long a trial may go on.

    Attributes:
        silent: seconds without a sign of life.
        why: what `silent` follows from, for the report.
        minutes: in all; None for no limit.
    """

    silent: float = FIRST
    why: str = "none has finished yet"
    minutes: float | None = None

    def broken(self, running: float, silent: float) -> Failure | None:
        """The end of a trial that has run, and been silent, for too many seconds.

        A hang may have come from elsewhere, so a resume tries the trial again.
        """
        if self.minutes is not None and running > 60 * self.minutes:
            said = f"{self.minutes:g} minute{'' if self.minutes == 1 else 's'}"
            return Failure(f"longer than {said} (--trial-timeout)", "design", running)
        if silent > self.silent:
            reason = f"no sign of life for {duration(silent)} ({self.why})"
            return Failure(reason, "passing", running)
        return None


def limits(
    record: TrialRecord, records: Sequence[TrialRecord], minutes: float | None = None
) -> Limits:
    """The limits of a trial, by what the others of its study took.

    Args:
        minutes: that any trial may take in all, by the user's choice.
    """
    longest = max(
        (other for other in records if other.state == "finished"),
        key=lambda other: other.seconds,
        default=None,
    )
    if longest is None:
        return Limits(FIRST, minutes=minutes)
    seconds = FACTOR * longest.seconds * max(1.0, _work(record) / (_work(longest) or float("inf")))
    why = f"the longest trial so far took {duration(longest.seconds)}"
    return Limits(max(LEAST, seconds), why, minutes)


def _work(record: TrialRecord) -> float:
    """What a trial trains, in multiply-accumulates per image; 0 where that is not known yet."""
    known = record.predicted or (record.result.final.cost if record.result else None)
    return known.macs * sum(record.config.epochs) if known else 0.0


@dataclass
class _Life:
    """A running trial.

    Attributes:
        said: seconds of silence at which it was last said that it is waited for.
    """

    limits: Limits
    started: float
    heard: float
    said: float = 0.0


class Vigil:
    """Watches over running trials, by number. Any thread may ask and tell."""

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
        """A sign of life of a trial; what it may take is known better now."""
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
        """The trials that are to be ended."""
        with self._lock:
            now = self._clock()
            found = {
                number: life.limits.broken(now - life.started, now - life.heard)
                for number, life in self._lives.items()
            }
        return {number: overrun for number, overrun in found.items() if overrun}

    def words(self) -> str | None:
        """Who has been silent for so long that it has to be said, or said again."""
        with self._lock:
            now = self._clock()
            if not self._lives:
                return self._idle_words(now - self._changed)
            silent = {
                number: now - life.heard
                for number, life in self._lives.items()
                # Twice the usual is nothing to speak of; nor is what was said at half the time.
                if now - life.heard >= max(QUIET, 2 * life.said, 2 * self._usual)
            }
            for number, seconds in silent.items():
                self._lives[number].said = seconds
        if not silent:
            return None
        trials = f"trial{'s' if len(silent) > 1 else ''} {', '.join(map(str, sorted(silent)))}"
        return f"waiting for {trials}: no report for {duration(min(silent.values()))}"

    def _idle_words(self, seconds: float) -> str | None:
        if seconds < max(QUIET, 2 * self._said):
            return None
        self._said = seconds
        return f"no trial has run for {duration(seconds)}: waiting for a free place to run one"


class Watchman:
    """A thread that looks at trials in turns, for as long as it is entered.

    Attributes:
        vigil: what is known of the trials.
        end: ends one that broke a limit, or cannot yet; called until the vigil has its end.
        say: told who is waited for.
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
                # Such as a terminal that is gone; trials are watched over all the same.
                logger.warning(f"a look at the running trials failed: {error}")

    def _look(self) -> None:
        for number, failure in self._vigil.overruns().items():
            self._end(number, failure)
        if words := self._vigil.words():
            self._say(words)


def duration(seconds: float) -> str:
    """A length of time as one says it: 40 seconds, 5 minutes, 2.5 hours."""
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = f"{seconds / length:.1f}".removesuffix(".0")
            return f"{count} {unit}{'' if count == '1' else 's'}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
