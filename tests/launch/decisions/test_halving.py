from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.decisions.early_stopping import growth
from launch.decisions.halving import Halving, best_first, ranks
from launch.pareto import dominates, front

POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


def ranks_by_peeling(points: list[tuple[int, int]]) -> list[int]:
    """Fronts taken off one after the other, by the module that knows fronts only."""
    found, rank = {}, 0
    left = set(points)
    while left:
        known = sorted(left)
        layer = {known[i] for i in front(known)}
        found |= dict.fromkeys(layer, rank)
        left -= layer
        rank += 1
    return [found[p] for p in points]


def test_ranks_of_a_chain_are_its_places() -> None:
    chain = [(k, 3 * k) for k in range(6)]
    assert ranks(chain) == [5, 4, 3, 2, 1, 0]
    order = [5, 1, 4, 2, 3, 0]
    assert ranks([chain[k] for k in order]) == [5 - k for k in order]
    assert best_first([chain[k] for k in order]) == [0, 2, 4, 3, 1, 5]


@given(POINTS)
def test_ranks_are_the_fronts_peeled_off(points: list[tuple[int, int]]) -> None:
    assert ranks(points) == ranks_by_peeling(points)


@given(POINTS, st.randoms())
def test_order_of_arrival_does_not_matter(
    points: list[tuple[int, int]], draw: random.Random
) -> None:
    shuffled = draw.sample(points, len(points))
    ordered = [points[i] for i in best_first(points)]
    assert [shuffled[i] for i in best_first(shuffled)] == ordered


@given(POINTS)
def test_scale_of_an_objective_does_not_matter(points: list[tuple[int, int]]) -> None:
    moved = [(1024 * x - 7, y / 256) for x, y in points]
    assert best_first(moved) == best_first(points)


@given(POINTS)
def test_no_point_stands_before_one_that_dominates_it(points: list[tuple[int, int]]) -> None:
    order = best_first(points)
    assert sorted(order) == list(range(len(points)))
    for place, late in enumerate(order):
        assert not any(dominates(points[late], points[early]) for early in order[:place])


def test_within_a_rank_the_next_is_farthest_from_those_before() -> None:
    # A front of five on a line: its two ends, the middle, then the quarters.
    points = [(0, 8), (2, 6), (4, 4), (6, 2), (8, 0)]
    order = best_first(points)
    assert order[:3] == [4, 0, 2]
    assert set(order[3:]) == {1, 3}


def test_a_newcomer_on_the_front_is_never_stopped() -> None:
    halving = Halving(budgets=(1, 3), factor=4)
    rung = {k: (k / 10, 1 - k / 10) for k in range(11)}
    assert all(halving.survives(rung, trial) for trial in rung)


def test_of_a_chain_one_in_factor_continues() -> None:
    halving = Halving(budgets=(2,), factor=3)
    for count in range(1, 20):
        rung = {k: (k, k) for k in range(count)}
        going = [t for t in rung if halving.survives(rung, t)]
        assert going == list(range(count))[-math.ceil(count / 3) :]


def test_who_came_early_may_be_stopped_and_come_back() -> None:
    halving = Halving(budgets=(1, 2), factor=2)
    rung = {0: (5, 5), 1: (4, 4)}
    assert not halving.survives(rung, 1)
    rung |= {2: (1, 1), 3: (2, 2)}
    assert halving.survives(rung, 1)
    later = {4: (1, 1), 0: (7, 7)}
    rungs = {1: rung, 2: later}
    # Trial 1 is in the better half of its rung now; trial 4 still is not, trials 2 and 3 never.
    assert halving.second_chances(rungs, {1: 1, 2: 1, 3: 1, 4: 2}) == (1,)
    later |= {5: (0, 0), 6: (0, 1)}
    assert halving.second_chances(rungs, {1: 1, 2: 1, 3: 1, 4: 2}) == (4, 1)


def test_growth_is_the_median_ratio_of_trials_seen_at_both() -> None:
    rung = {0: (0.1, 5), 1: (0.2, 5), 2: (0.0, 5), 3: (0.1, 9), 7: (0.4, 1)}
    final = {0: (0.2, 5), 1: (0.6, 5), 2: (0.5, 5), 3: (0.4, 9)}
    assert growth(rung, final) == pytest.approx(3.0)
    assert growth(rung, {}) == 1.0


@pytest.mark.parametrize("budgets", [(), (0, 1), (2, 2), (3, 1)])
def test_budgets_must_rise(budgets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        Halving(budgets=budgets)


def test_a_factor_must_select() -> None:
    with pytest.raises(ValueError, match=r"factor 1\.0"):
        Halving(budgets=(1,), factor=1.0)
