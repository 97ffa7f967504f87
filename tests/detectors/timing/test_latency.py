from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.timing.latency import Latency, median_interval, medians


def missed(n: int, rank: int) -> float:
    """How often the rank-th smallest and largest of n coin-like values miss the median."""
    return 2 * sum(math.comb(n, k) for k in range(rank)) / 2**n


@pytest.mark.parametrize(
    ("count", "ranks"),
    # The table of ranks for 95 %, as in Conover, Practical Nonparametric Statistics, table A3.
    [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (12, (3, 10)), (15, (4, 12)), (20, (6, 15))],
)
def test_the_interval_is_the_pair_of_order_statistics_of_the_tables(
    count: int, ranks: tuple[int, int]
) -> None:
    values = list(range(1, count + 1))
    random.Random(0).shuffle(values)
    assert median_interval(values) == ranks


@given(st.integers(1, 60), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_is_the_narrowest_that_holds_the_median_often_enough(
    count: int, confidence: float
) -> None:
    found = median_interval(list(range(1, count + 1)), confidence)
    if found is None:
        assert missed(count, 1) > 1 - confidence
    else:
        low, high = found
        assert low + high == count + 1
        assert missed(count, low) <= 1 - confidence
        assert low == count // 2 or missed(count, low + 1) > 1 - confidence


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    draw = random.Random(1)
    held = 0
    for _ in range(2000):
        low, high = median_interval([draw.expovariate(1.0) for _ in range(15)])
        held += low <= math.log(2) <= high
    # 15 values: ranks 4 and 12, which hold the median in 96.5 % of all cases.
    assert held / 2000 == pytest.approx(1 - missed(15, 4), abs=0.02)


def test_quantiles_are_those_of_the_standard_library() -> None:
    draw = random.Random(2)
    values = [draw.random() for _ in range(101)]
    latency = Latency.of([[value / 1000] for value in values])
    inclusive = statistics.quantiles(values, n=100, method="inclusive")
    assert latency.p50 == pytest.approx(inclusive[49])
    assert latency.p99 == pytest.approx(inclusive[98])
    assert Latency.of([[0.003]]).p90 == 3.0


def test_a_latency_is_in_milliseconds_over_all_calls() -> None:
    blocks = [[0.010 + 0.001 * k, 0.012 + 0.001 * k, 0.011 + 0.001 * k] for k in range(6)]
    latency = Latency.of(blocks)
    assert latency.calls == 18
    assert latency.p50 == pytest.approx(13.5)
    assert latency.p50 <= latency.p90 <= latency.p99 <= 17.0
    assert (latency.low, latency.high) == (pytest.approx(11.0), pytest.approx(16.0))
    assert Latency.model_validate_json(latency.model_dump_json()) == latency


def test_few_blocks_have_quantiles_but_no_interval() -> None:
    latency = Latency.of([[0.5]] * 5)
    assert (latency.p50, latency.low, latency.high) == (500.0, None, None)


def test_a_block_counts_by_its_median() -> None:
    assert medians([[1.0, 9.0, 2.0], [4.0]]) == [2.0, 4.0]
