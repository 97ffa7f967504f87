"""What a study's decisions need of its trials as numbers. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from launch.decisions.account import Account
from launch.decisions.budget import Spent
from launch.records import Origin, State, TrialRecord

LATEST = 500
"""Ended trials by which the time of further ones is judged: those of long ago say little of the
designs that are tried now."""


class Tally(Account):
    """Counts and times of trials.

    Attributes:
        longest: the finished trial that took longest; None while none has finished.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[Origin, State]] = Counter()
        self._device = 0.0
        self._ended: dict[int, tuple[State, float]] = {}  # the latest, in the order of ending
        self.longest: TrialRecord | None = None

    def note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        if before is not None:
            self._counts[before.origin, before.state] -= 1
            self._device -= before.seconds
        self._counts[record.origin, record.state] += 1
        self._device += record.seconds
        self._ended.pop(record.number, None)
        if record.ending is not None:
            self._ended[record.number] = record.state, record.seconds
            if len(self._ended) > LATEST:
                del self._ended[next(iter(self._ended))]
        longest = self.longest
        if record.state == "finished" and (longest is None or record.seconds > longest.seconds):
            self.longest = record

    def count(self, *origins: Origin, ended: bool = False) -> int:
        """The trials of some origins; by default of all.

        Args:
            ended: without those that run.
        """
        return sum(
            count
            for (origin, state), count in self._counts.items()
            if (not origins or origin in origins) and not (ended and state == "running")
        )

    def spent(self, waiting: int = 0, device: float = 0.0, **rest: Any) -> Spent:
        """What a search has used by its trials, and `rest`.

        Args:
            waiting: the number of trials that have not ended, but do not run.
            device: seconds of device time besides those of the trials.
        """
        ended = self._ended.values()
        return Spent(
            proposed=self.count(),
            running=self.count() - self.count(ended=True) - waiting,
            device=self._device + device,
            finished=[seconds for state, seconds in ended if state == "finished"],
            others=[seconds for state, seconds in ended if state != "finished"],
            **rest,
        )
