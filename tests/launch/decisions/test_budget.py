"""Budgets as numbers; no search is run here, and nothing is timed."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from launch.decisions.budget import (
    Budget,
    Outlook,
    Spent,
    is_spent,
    likely_most,
    outlook,
    share_spent,
)
from launch.report import outlook_in_words

NOTHING = Spent(proposed=0, running=0, elapsed=0, device=0, finished=())
FIVE = Spent(proposed=5, running=0, elapsed=300, device=300, finished=[50, 60, 60, 60, 70])
"""Five trials of a minute, one after the other; the median deviation is 0."""

SPREAD = replace(FIVE, finished=[40, 50, 60, 70, 80])
"""The median deviation is 10."""


def test_a_trial_likely_costs_the_median_and_two_deviations_at_most() -> None:
    assert likely_most([]) == 0
    assert likely_most([30]) == 30
    assert likely_most([40, 50, 60, 70, 80]) == 80
    # One hiccup is not what the next one costs.
    assert likely_most([60, 60, 61, 60, 900]) == 60


@pytest.mark.parametrize(
    ("budget", "share"),
    [
        (Budget(10), 0.5),
        (Budget(10, minutes=20), 0.5),
        (Budget(10, minutes=6.25), 0.8),
        (Budget(10, minutes=20, device_hours=0.125), 2 / 3),
    ],
)
def test_the_nearest_limit_says_what_share_is_spent(budget: Budget, share: float) -> None:
    assert share_spent(budget, FIVE) == pytest.approx(share)


@pytest.mark.parametrize(
    ("budget", "spent", "expected"),
    [
        (Budget(5), NOTHING, False),
        (Budget(5), FIVE, True),
        (Budget(6), FIVE, False),
        (Budget(9, minutes=6), FIVE, False),
        (Budget(9, minutes=5.9), FIVE, True),
        (Budget(9, minutes=6.3), SPREAD, True),
        (Budget(9, minutes=6.4), SPREAD, False),
        (Budget(9, minutes=1e-9), replace(NOTHING, elapsed=1), True),
        (Budget(9, device_hours=0.1), FIVE, False),
        (Budget(9, device_hours=0.1), replace(FIVE, running=1), True),
        (Budget(9, device_hours=0.12), replace(FIVE, running=1), False),
        (Budget(9, device_hours=0.1), NOTHING, False),
    ],
)
def test_a_budget_is_spent_where_another_trial_would_exceed_it(
    budget: Budget, spent: Spent, expected: bool
) -> None:
    assert is_spent(budget, spent) == expected


def test_the_outlook_before_a_trial_has_finished_is_what_was_given() -> None:
    assert outlook(Budget(9, 30, 2), NOTHING) == Outlook(9, 30, 2, "trials", 9, None)
    assert outlook(Budget(9), NOTHING) == Outlook(9, None, None, "trials", 9, None)


def test_trials_end_a_search_at_the_pace_of_its_workers() -> None:
    assert outlook(Budget(9), FIVE) == Outlook(4, None, None, "trials", 4, 240)
    pair = replace(FIVE, workers=2, running=1)
    assert outlook(Budget(9), pair).seconds == 135
    assert outlook(Budget(5), pair).seconds == 15


@pytest.mark.parametrize(
    ("budget", "spent", "ends_by", "more"),
    [
        (Budget(99, minutes=8), FIVE, "minutes", 3),
        (Budget(99, minutes=8), replace(FIVE, workers=2), "minutes", 6),
        (Budget(99, minutes=8), SPREAD, "minutes", 2),
        (Budget(99, minutes=5.5), FIVE, "minutes", 0),
        (Budget(99, minutes=4), FIVE, "minutes", 0),
        (Budget(99, device_hours=0.2), FIVE, "device-hours", 7),
        (Budget(99, device_hours=0.2), replace(FIVE, workers=2, running=1), "device-hours", 6),
        (Budget(99, minutes=8, device_hours=0.1), FIVE, "device-hours", 1),
        (Budget(7, minutes=8, device_hours=9), FIVE, "trials", 2),
    ],
)
def test_the_limit_that_is_met_first_ends_a_search(
    budget: Budget, spent: Spent, ends_by: str, more: int
) -> None:
    found = outlook(budget, spent)
    assert (found.ends_by, found.more_trials) == (ends_by, more)
    # Both functions agree on whether there is another trial.
    assert is_spent(budget, spent) == (more == 0)


def test_the_rest_of_a_budget_is_never_negative() -> None:
    late = outlook(Budget(3, minutes=2, device_hours=0.01), FIVE)
    assert (late.trials_left, late.minutes_left, late.device_hours_left) == (0, 0, 0)


def test_an_outlook_in_words() -> None:
    words = outlook_in_words(outlook(Budget(99, minutes=8, device_hours=0.5), FIVE))
    assert words == (
        "left: 94 trials, 3.0 minutes, 0.417 device-hours; "
        "expected: 3 more trials in about 3 min 00 s, then minutes are spent"
    )
    assert outlook_in_words(outlook(Budget(6), FIVE)).endswith(
        "expected: 1 more trial in about 1 min 00 s, then trials are spent"
    )
    assert outlook_in_words(outlook(Budget(5), replace(FIVE, running=1))) == (
        "left: 0 trials; expected: the running ones end in 23 s to 37 s"
    )
    assert outlook_in_words(outlook(Budget(4), NOTHING)) == "left: 4 trials"


RECORDED = [
    (47.8, 44.4), (136.8, 73.4), (170.0, 32.2), (285.0, 113.9), (339.1, 50.8), (376.2, 35.3),
    (433.4, 54.7), (495.8, 60.1), (561.1, 47.6), (670.8, 102.9), (713.0, 31.9), (805.6, 86.5),
    (866.0, 55.8), (936.6, 67.7), (1078.7, 134.8), (1141.8, 58.5), (1175.5, 30.7), (1194.8, 17.6),
    (1211.1, 14.6), (1235.8, 23.0),
]  # fmt: skip
"""A search of 20 trials on a busy machine: when each ended, and the seconds of its own."""


def test_the_expected_end_of_a_recorded_search() -> None:
    ends, seconds = zip(*RECORDED, strict=True)
    medians, outlooks, real = [], [], []
    for n in range(2, len(ends) - 1):
        spent = Spent(
            n, 0, ends[n - 1], sum(seconds[:n]), seconds[:n], ended=n, watched=ends[n - 1]
        )
        outlooks.append(outlook(Budget(len(ends)), spent))
        medians.append((len(ends) - n) * statistics.median(seconds[:n]))
        real.append(ends[-1] - ends[n - 1])
    errors = [abs((o.seconds or 0) - r) for o, r in zip(outlooks, real, strict=True)]
    # The median trial and no gaps: that was too early by a seventh for half of the search.
    assert statistics.fmean(medians[:9]) < 0.9 * statistics.fmean(real[:9])
    assert sum(errors[:9]) < 0.7 * sum(
        abs(median - r) for median, r in zip(medians[:9], real[:9], strict=True)
    )
    within = [error <= (o.error or 0) for error, o in zip(errors, outlooks, strict=True)]
    assert sum(within) >= 0.75 * len(within)


def test_gaps_between_trials_and_trials_without_a_result_count() -> None:
    pair = replace(FIVE, workers=2, running=1)
    # Of the trials' own seconds, 30 for each; by the clock, 5.5 trials in 275 seconds.
    slow = replace(pair, ended=5, watched=275)
    assert (pair.pace, slow.pace) == (30, 50)
    assert outlook(Budget(9), slow).seconds == 225
    stopped = replace(FIVE, others=[10, 10, 10, 10, 10])
    assert stopped.per_trial == 35
    assert stopped.pace == 35


def test_a_time_that_may_differ_much_is_given_from_when_to_when() -> None:
    one = replace(FIVE, finished=[60])
    assert outlook(Budget(9), one).error is None
    spread = replace(FIVE, finished=[20, 100, 30, 90, 60])
    assert "in 1 min 59 s to 6 min 01 s, then" in outlook_in_words(outlook(Budget(9), spread))
