"""How much of a search's budget is left, what the next trial costs, what ends the search. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Limit = Literal["trials", "minutes", "device-hours"]

DEVIATIONS = 2.0
"""Median absolute deviations above the median that a trial is reckoned to cost at most: nine of ten
normally distributed ones stay below. The longest so far, in their place, would let one hiccup end a
search early."""


@dataclass(frozen=True)
class Budget:
    """What a search may spend.

    Attributes:
        trials: how many are proposed in all.
        minutes: wall time from when the search was begun or resumed; None for no limit.
        device_hours: sum of the trials' own times; None for no limit.
    """

    trials: int
    minutes: float | None = None
    device_hours: float | None = None


@dataclass(frozen=True)
class Spent:
    """What a search has spent.

    Attributes:
        proposed: trials, those that run included.
        running: trials that run now.
        elapsed: seconds since the search was begun or resumed.
        device: seconds of all trials that ended.
        finished: seconds of each finished trial.
        workers: trials that run side by side.
    """

    proposed: int
    running: int
    elapsed: float
    device: float
    finished: Sequence[float]
    workers: int = 1


@dataclass(frozen=True)
class Outlook:
    """What is left of a budget, and what is to be expected of it.

    Attributes:
        trials_left: not proposed yet.
        minutes_left, device_hours_left: at least 0; None where there is no limit.
        ends_by: the limit that is expected to be met first.
        more_trials: how many are expected to be proposed until then.
        seconds: expected until the search ends; None where no trial has finished yet.
    """

    trials_left: int
    minutes_left: float | None
    device_hours_left: float | None
    ends_by: Limit
    more_trials: int
    seconds: float | None


def likely_most(seconds: Sequence[float]) -> float:
    """What the next trial will hardly exceed, by what others took; 0 where none has finished."""
    if not seconds:
        return 0.0
    typical = statistics.median(seconds)
    return typical + DEVIATIONS * statistics.median(abs(s - typical) for s in seconds)


def is_spent(budget: Budget, spent: Spent) -> bool:
    """Whether no trial may be proposed any more, since it would probably go beyond a limit."""
    most = likely_most(spent.finished)
    seconds, device = _seconds_left(budget, spent), _device_left(budget, spent)
    return (
        spent.proposed >= budget.trials
        or (seconds is not None and _falls_short(seconds, most))
        # Those that run now are reckoned to cost as much.
        or (device is not None and _falls_short(device, (spent.running + 1) * most))
    )


def share_spent(budget: Budget, spent: Spent) -> float:
    """The share of the limit that is nearest that is spent; may exceed 1."""
    shares = [spent.proposed / budget.trials]
    if budget.minutes is not None:
        shares.append(spent.elapsed / (60 * budget.minutes))
    if budget.device_hours is not None:
        shares.append(spent.device / (3600 * budget.device_hours))
    return max(shares)


def outlook(budget: Budget, spent: Spent) -> Outlook:
    """What is to be expected, if all other trials take as long as the median of those that did."""
    seconds, device = _seconds_left(budget, spent), _device_left(budget, spent)
    left = max(0, budget.trials - spent.proposed)
    affordable: dict[Limit, float] = {"trials": left}
    expected = None
    if spent.finished:
        typical, most = statistics.median(spent.finished), likely_most(spent.finished)
        if seconds is not None:
            affordable["minutes"] = spent.workers * _turns(seconds, most, typical)
        if device is not None:
            affordable["device-hours"] = _turns(device - spent.running * typical, most, typical)
    ends_by = min(affordable, key=affordable.__getitem__)
    more = int(affordable[ends_by])
    if spent.finished:
        # Those that run now are half done on average.
        expected = (more + spent.running / 2) * typical / spent.workers
    return Outlook(
        trials_left=left,
        minutes_left=seconds and seconds / 60,
        device_hours_left=device and device / 3600,
        ends_by=ends_by,
        more_trials=more,
        seconds=expected,
    )


def _falls_short(left: float, cost: float) -> bool:
    """Whether what is left is nothing, or less than a cost; one of 0 is not known yet."""
    return left <= 0 or left < cost


def _turns(seconds: float, most: float, typical: float) -> float:
    """How many trials may begin one after the other, the last of them in time for its `most`."""
    return 0.0 if _falls_short(seconds, most) else 1 + (seconds - most) // max(typical, 1e-9)


def _seconds_left(budget: Budget, spent: Spent) -> float | None:
    return None if budget.minutes is None else max(0.0, 60 * budget.minutes - spent.elapsed)


def _device_left(budget: Budget, spent: Spent) -> float | None:
    hours = budget.device_hours
    return None if hours is None else max(0.0, 3600 * hours - spent.device)
