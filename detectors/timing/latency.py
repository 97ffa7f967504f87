"""Quantiles of latencies, and how far their median can be trusted. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

CONFIDENCE = 0.95

Blocks = Sequence[Sequence[float]]
"""Seconds of calls, block by block; the calls of a block follow each other immediately."""


class Latency(BaseModel):
    """Latency of a call in milliseconds.

    Attributes:
        p50, p90, p99: quantiles over all calls.
        low, high: `CONFIDENCE` interval of the median; None if there are too few blocks.
        calls: number of timed calls.
    """

    model_config = ConfigDict(frozen=True)

    p50: float
    p90: float
    p99: float
    low: float | None
    high: float | None
    calls: int

    @classmethod
    def of(cls, blocks: Blocks) -> Latency:
        """From at least one call."""
        calls = sorted(1000 * seconds for block in blocks for seconds in block)
        low, high = median_interval([1000 * m for m in medians(blocks)]) or (None, None)
        p50, p90, p99 = (quantile(calls, share) for share in (0.5, 0.9, 0.99))
        return cls(p50=p50, p90=p90, p99=p99, low=low, high=high, calls=len(calls))


def medians(blocks: Blocks) -> list[float]:
    """The median of each block: calls of one block share disturbances, blocks hardly do."""
    return [statistics.median(block) for block in blocks]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of ascending values lie, with linear interpolation."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def median_interval(
    values: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The narrowest pair of order statistics that holds the median with this confidence.

    How many of n independent values lie below their distribution's median is binomial with
    probability 1/2, whatever the distribution; so the k-th smallest and k-th largest miss it with
    probability 2 P(X < k). None where even the extremes miss it too often: below 6 values at 95 %.
    """
    ordered, n = sorted(values), len(values)
    missed, rank = 0.0, 0
    while rank < n // 2:
        missed += 2 * math.comb(n, rank) / 2**n
        if missed > 1 - confidence:
            break
        rank += 1
    return (ordered[rank - 1], ordered[n - rank]) if rank else None
