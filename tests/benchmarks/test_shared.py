"""The comparison of scores with shared weights with a recorded table, on made-up scores."""

from __future__ import annotations

import pytest

from benchmarks.search.shared import FIRST, correlation, orders, search, unpruned
from benchmarks.search.table import Table
from launch.trial.shared_scores import SharedScore, SharedScores


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.read()


def scores(table: Table, sign: int) -> SharedScores:
    """Scores that are the recorded AP_small, or the opposite of them."""
    found = []
    for design in unpruned(table).values():
        dense = design.result.dense
        score = design.ap_small if sign > 0 else 1 - design.ap_small
        found.append(
            SharedScore(
                config=table.config(design),
                metrics=dense.metrics.model_copy(update={"ap_small": score}),
                params=dense.cost.params,
                macs=dense.cost.macs,
            )
        )
    return SharedScores(scores=tuple(found), steps=1, drawn=len(found), training=1, scoring=1)


def shares(text: str) -> list[tuple[float, float]]:
    """The numbers of a table: by the scores, and at random."""
    rows = [line.split("|")[2:4] for line in text.splitlines()[2:]]
    return [(float(own), float(drawn.split()[0])) for own, drawn in rows]


def test_scores_that_are_right_agree_with_the_table_and_order_its_designs_well(
    table: Table,
) -> None:
    right = scores(table, 1)
    assert correlation(table, right) == pytest.approx(1)
    assert correlation(table, scores(table, -1)) == pytest.approx(-1)
    found = shares(orders(table, right))
    assert len(found) == len(FIRST)
    assert all(own > drawn for own, drawn in found)


@pytest.mark.slow
def test_the_time_that_scores_take_is_part_of_a_search(table: Table) -> None:
    without = search(table, "study, TPE", 0, None, 500.0)
    guided = search(table, "study, TPE", 0, scores(table, 1), 500.0)
    assert without.moments[0].device_seconds < 500 < guided.moments[0].device_seconds
    assert guided.hypervolume_at(guided.seconds) > 0.8
