from __future__ import annotations

import math
import random

import pytest

from launch.decisions.gate import Gate, Trained


def line(count: int, error: float = 0.0) -> list[Trained]:
    """Designs that score more the larger they are, and are slower for it."""
    return [
        Trained(size=k, scores=(k / 10,), costs=(-k + error,), predicted=(-k,))
        for k in range(count)
    ]


def test_the_upper_bound_is_the_best_neighbour_plus_the_margin_of_error() -> None:
    designs = line(12)
    # Each is predicted too high by its larger neighbours; the largest alone, left out, 0.1 too low.
    # That error is the last of twelve: it counts for a confidence of 0.9 and not for one of 0.8.
    careless, careful = Gate(nearest=3, confidence=0.8), Gate(nearest=3, confidence=0.9)
    assert careless.ceiling(5.1, (-5.1,), designs) == pytest.approx((0.6, -5.1))
    assert careful.ceiling(5.1, (-5.1,), designs) == pytest.approx((0.7, -5.1))


def test_a_cost_that_was_better_in_the_end_than_predicted_raises_the_ceiling() -> None:
    (_, cost) = Gate().ceiling(5, (-5.0,), line(12, error=0.25))
    assert cost == pytest.approx(-4.75)
    (_, cost) = Gate().ceiling(5, (-5.0,), line(12, error=-0.25))
    assert cost == pytest.approx(-5.0)


def test_nothing_is_judged_until_enough_is_trained() -> None:
    good = [Trained(1.0, (0.5,), (0.0,), (0.0,)) for _ in range(10)]
    assert Gate().ceiling(1.0, (-9.0,), good[:9]) is None
    assert not Gate().closes(1.0, (-9.0,), good[:9])
    assert Gate().closes(1.0, (-9.0,), good)
    # A confidence that so few errors cannot give leaves every design its chance.
    assert Gate(confidence=0.95).ceiling(1.0, (-9.0,), good) == (math.inf, math.inf)
    assert not Gate(confidence=0.95).closes(1.0, (-9.0,), good)


def test_only_dominated_upper_bounds_are_gated() -> None:
    designs = [Trained(k % 3, (0.1 * (k % 3),), (-(k % 3),), (-(k % 3),)) for k in range(15)]
    gate = Gate(nearest=4)
    # As large as the second kind and slower than the third: beaten by what the third scores.
    assert gate.closes(1.0, (-2.5,), designs)
    # As fast as the second, or faster than all: it may tie, or win.
    assert not gate.closes(1.0, (-1.0,), designs)
    assert not gate.closes(0.0, (0.1,), designs)


def test_a_trial_that_violates_a_constraint_dominates_nothing() -> None:
    fast = [Trained(1.0, (0.5,), (0.0,), (0.0,), kept=False) for _ in range(10)]
    assert not Gate().closes(1.0, (-9.0,), fast)
    slow = Trained(1.0, (0.5,), (-5.0,), (-5.0,))
    assert Gate().closes(1.0, (-9.0,), [*fast, slow])


def test_a_ceiling_holds_as_often_as_it_promises() -> None:
    draw = random.Random(0)

    def design() -> Trained:
        size = draw.uniform(0, 5)
        score = math.tanh(size) + draw.gauss(0, 0.2)
        return Trained(size, (score,), (draw.gauss(-size, 0.1),), (-size,))

    held = [0, 0]
    for _ in range(300):
        trained, new = [design() for _ in range(20)], design()
        best = Gate().ceiling(new.size, new.predicted, trained)
        held[0] += new.scores[0] <= best[0]
        held[1] += new.costs[0] <= best[1]
    assert held[0] / 300 >= 0.9
    assert held[1] / 300 >= 0.87
