"""The rest of a search's budget, the expected cost of a trial, and the end of the search. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Limit = Literal["trials", "minutes", "device-hours"]

DEVIATIONS = 2.0
"""The expected upper limit of a trial's time, in median absolute deviations above the median: nine
of ten normally distributed trials stay below. With the longest trial so far as the limit, a single
outlier would end a search early."""

NORMAL = 1.28
"""Standard deviations on both sides of a mean between which four of five normally distributed
values lie."""


@dataclass(frozen=True)
class Budget:
    """The limits of a search.

    Attributes:
        trials: total number of proposed trials.
        minutes: wall time since the search was started or resumed; None for no limit.
        device_hours: sum of the trials' own times; None for no limit.
    """

    trials: int
    minutes: float | None = None
    device_hours: float | None = None


@dataclass(frozen=True)
class Spent:
    """What a search has used so far.

    Attributes:
        proposed: number of trials, running ones included.
        running: number of running trials.
        elapsed: seconds since the search was started or resumed.
        device: total seconds of all ended trials, and of what was computed besides.
        finished: seconds of each finished trial; of a long search, of the latest.
        workers: number of trials in parallel.
        others: the same of trials that ended otherwise: failed, stopped, skipped.
        ended: number of trials that ended within `watched` seconds, while trials ran all the time.
        since: seconds that have passed after the `watched` ones; none has ended in them.
    """

    proposed: int
    running: int
    elapsed: float
    device: float
    finished: Sequence[float]
    workers: int = 1
    others: Sequence[float] = ()
    ended: int = 0
    watched: float = 0.0
    since: float = 0.0

    @property
    def per_trial(self) -> float:
        """The mean seconds of a trial, however it ended; 0 while none has ended.

        Not the median: a few trials take far longer than most, and in a sum they count.
        """
        return statistics.fmean([*self.finished, *self.others] or [0.0])

    @property
    def pace(self) -> float:
        """Seconds of wall time for each further trial.

        By the clock where it has shown to be slower than the trials' own times: there are gaps
        between trials, in which processes start and the sampler computes.
        """
        # Running trials are half done on average.
        by_clock = self.watched / (self.ended + self.running / 2) if self.ended else 0.0
        return max(self.per_trial / self.workers, by_clock)

    def error(self, trials: float) -> float | None:
        """How far the time of so many further trials may be from `trials * pace`, in four of five
        cases; None if a single trial has ended.

        Both the trials to come and the mean of those so far are random.
        """
        seconds = [*self.finished, *self.others]
        if len(seconds) < 2:
            return None
        # Not `statistics.stdev`, whose exact sums take milliseconds for thousands of trials.
        mean = self.per_trial
        deviation = math.sqrt(sum((s - mean) ** 2 for s in seconds) / (len(seconds) - 1))
        relative = deviation / max(mean, 1e-9)
        return NORMAL * relative * self.pace * (trials + trials**2 / len(seconds)) ** 0.5


@dataclass(frozen=True)
class Outlook:
    """The rest of a budget, and the expected end of the search.

    Attributes:
        trials_left: number of trials not proposed yet.
        minutes_left, device_hours_left: at least 0; None without a limit.
        ends_by: the limit that is expected to be reached first.
        more_trials: expected number of further trials.
        seconds: expected time until the end of the search; None while no trial has finished, and
            where none runs or will.
        error: it lies within so many seconds of that in four of five cases; None if not known.
    """

    trials_left: int
    minutes_left: float | None
    device_hours_left: float | None
    ends_by: Limit
    more_trials: int
    seconds: float | None
    error: float | None = field(default=None, compare=False)


def likely_most(seconds: Sequence[float]) -> float:
    """The seconds that the next trial will probably not exceed; 0 while none has finished."""
    if not seconds:
        return 0.0
    typical = statistics.median(seconds)
    return typical + DEVIATIONS * statistics.median(abs(s - typical) for s in seconds)


def is_spent(budget: Budget, spent: Spent) -> bool:
    """Whether the next trial would probably exceed a limit, so that none is proposed any more."""
    most = likely_most(spent.finished)
    seconds, device = _seconds_left(budget, spent), _device_left(budget, spent)
    return (
        spent.proposed >= budget.trials
        or (seconds is not None and _falls_short(seconds, most))
        # Running trials are expected to cost as much.
        or (device is not None and _falls_short(device, (spent.running + 1) * most))
    )


@dataclass(frozen=True)
class Means:
    """The budget of a search, of which planned trials may take a share.

    Attributes:
        trials: number of trials in all.
        spent: spent share of the nearest limit; may exceed 1.
        seconds: device time in all; None without a limit.
    """

    trials: int
    spent: float = 0.0
    seconds: float | None = None

    @classmethod
    def of(cls, budget: Budget, spent: Spent) -> Means:
        limits = []
        if budget.minutes is not None:
            limits.append(60 * budget.minutes * spent.workers)
        if budget.device_hours is not None:
            limits.append(3600 * budget.device_hours)
        return cls(budget.trials, share_spent(budget, spent), min(limits, default=None))


def share_spent(budget: Budget, spent: Spent) -> float:
    """The spent share of the nearest limit; may exceed 1."""
    shares = [spent.proposed / budget.trials]
    if budget.minutes is not None:
        shares.append(spent.elapsed / (60 * budget.minutes))
    if budget.device_hours is not None:
        shares.append(spent.device / (3600 * budget.device_hours))
    return max(shares)


def outlook(budget: Budget, spent: Spent) -> Outlook:
    """The outlook if further trials take as long as those so far on average."""
    seconds, device = _seconds_left(budget, spent), _device_left(budget, spent)
    left = max(0, budget.trials - spent.proposed)
    affordable: dict[Limit, float] = {"trials": left}
    expected, error = None, None
    if spent.finished:
        each, most = spent.per_trial, likely_most(spent.finished)
        if seconds is not None:
            turn = spent.pace * spent.workers
            affordable["minutes"] = spent.workers * _turns(seconds, most, turn)
        if device is not None:
            affordable["device-hours"] = _turns(device - spent.running * each, most, each)
    ends_by = min(affordable, key=affordable.__getitem__)
    more = int(affordable[ends_by])
    # Running trials are half done on average.
    count = more + spent.running / 2
    if spent.finished and count:
        expected, error = max(0.0, count * spent.pace - spent.since), spent.error(count)
    return Outlook(
        trials_left=left,
        minutes_left=seconds and seconds / 60,
        device_hours_left=device and device / 3600,
        ends_by=ends_by,
        more_trials=more,
        seconds=expected,
        error=error,
    )


def _falls_short(left: float, cost: float) -> bool:
    """Whether nothing is left, or less than a cost; a cost of 0 is not known yet."""
    return left <= 0 or left < cost


def _turns(seconds: float, most: float, typical: float) -> float:
    """How many trials can start one after the other, if the last one needs `most` seconds."""
    return 0.0 if _falls_short(seconds, most) else 1 + (seconds - most) // max(typical, 1e-9)


def _seconds_left(budget: Budget, spent: Spent) -> float | None:
    return None if budget.minutes is None else max(0.0, 60 * budget.minutes - spent.elapsed)


def _device_left(budget: Budget, spent: Spent) -> float | None:
    hours = budget.device_hours
    return None if hours is None else max(0.0, 3600 * hours - spent.device)
