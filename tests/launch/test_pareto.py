from __future__ import annotations

import itertools
import math
import random

import pytest

from launch.pareto import dominates, front, hypervolume

POINTS = {"a": (1, 3), "b": (2, 2), "c": (3, 1), "d": (1, 2), "e": (1, 3)}
#            a      b      c      d      e   <- is dominated by the row's point?
DOMINATES = {
    "a": [False, False, False, True, False],
    "b": [False, False, False, True, False],
    "c": [False, False, False, False, False],
    "d": [False, False, False, False, False],
    "e": [False, False, False, True, False],
}


def test_dominance_of_every_pair() -> None:
    for name, row in DOMINATES.items():
        assert [dominates(POINTS[name], q) for q in POINTS.values()] == row


def test_front_is_best_first_and_keeps_one_of_equal_points() -> None:
    assert front(list(POINTS.values())) == [2, 1, 0]


def test_front_of_nothing_is_empty() -> None:
    assert front([]) == []


def test_a_chain_has_one_best() -> None:
    chain = [(k, 2 * k) for k in range(10)]
    for order in (chain, chain[::-1], random.Random(0).sample(chain, 10)):
        assert [order[i] for i in front(order)] == [(9, 18)]


def test_front_does_not_depend_on_order_or_scale() -> None:
    draw = random.Random(1)
    points = [(draw.random(), draw.random()) for _ in range(40)]
    expected = {points[i] for i in front(points)}
    shuffled = draw.sample(points, len(points))
    assert {shuffled[i] for i in front(shuffled)} == expected
    scaled = [(1000 * x, y**3) for x, y in points]
    assert {points[i] for i in front(scaled)} == expected


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([], 0),
        ([(2, 3)], 6),
        ([(1, 3), (2, 2), (3, 1)], 6),
        ([(1, 3), (1, 2), (3, 1), (3, 1)], 5),
        ([(-1, 5), (5, -1)], 0),
    ],
)
def test_hypervolume_of_hand_counted_points(points: list[tuple[int, int]], area: float) -> None:
    for order in itertools.permutations(points):
        assert hypervolume(order, (0, 0)) == area


@pytest.mark.parametrize(
    ("points", "volume"),
    [
        ([], 0),
        ([(2, 3, 4)], 24),
        ([(1, 1, 3), (1, 3, 1), (3, 1, 1)], 7),  # Three bars of 3 that share one cube.
        ([(2, 2, 1), (1, 1, 2), (1, 1, 1)], 5),
        ([(5, 5, -1), (5, 0, 5), (1, 2, 3)], 6),  # Two lie below the reference or beside it.
        ([(1, 1, 1, 2), (2, 1, 1, 1)], 3),
        ([(1, 2, 3, 4)], 24),
    ],
)
def test_hypervolume_of_more_objectives(points: list[tuple[int, ...]], volume: float) -> None:
    for order in itertools.permutations(points):
        zero = (0,) * len(points[0] if points else (0, 0, 0))
        assert hypervolume(order, zero) == pytest.approx(volume)


@pytest.mark.parametrize("coordinates", [2, 3, 4])
def test_hypervolume_is_that_of_inclusion_and_exclusion(coordinates: int) -> None:
    draw = random.Random(coordinates)
    floor = tuple(draw.uniform(-1, 0.3) for _ in range(coordinates))
    points = [tuple(draw.random() for _ in range(coordinates)) for _ in range(8)]
    assert hypervolume(points, floor) == pytest.approx(union(points, floor))


def union(points: list[tuple[float, ...]], floor: tuple[float, ...]) -> float:
    """The volume of all boxes between the floor and a point: that of each intersection, counted by
    turns as gained and lost."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            sides = (
                max(0.0, min(axis) - low)
                for axis, low in zip(zip(*some, strict=True), floor, strict=True)
            )
            total -= (-1) ** size * math.prod(sides)
    return total


def test_hypervolume_refuses_points_of_another_number_of_coordinates() -> None:
    for points, reference in ([(1, 2, 3)], (0, 0)), ([(1, 2)], (0, 0, 0)), ([()], ()):
        with pytest.raises(ValueError, match="as many coordinates"):
            hypervolume(points, reference)


def test_hypervolume_of_one_coordinate_is_a_length() -> None:
    assert hypervolume([(3.0,), (5.0,), (1.0,)], (2.0,)) == 3.0
    assert hypervolume([(1.0,)], (2.0,)) == 0.0
