"""Budgets as numbers; no search is run here, and nothing is timed."""

from __future__ import annotations

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
    assert outlook_in_words(outlook(Budget(4), NOTHING)) == "left: 4 trials"
