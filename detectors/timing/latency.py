"""Quantiles of latencies, and how far their median can be trusted. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import special

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
        calls = [1000 * seconds for block in blocks for seconds in block]
        low, high = median_interval([1000 * m for m in medians(blocks)]) or (None, None)
        p50, p90, p99 = np.quantile(calls, (0.5, 0.9, 0.99)).tolist()
        return cls(p50=p50, p90=p90, p99=p99, low=low, high=high, calls=len(calls))


def medians(blocks: Blocks) -> list[float]:
    """The median of each block: calls of one block share disturbances, blocks hardly do."""
    return [statistics.median(block) for block in blocks]


def median_interval(
    values: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The narrowest pair of order statistics that holds the median with this confidence.

    How many of n independent values lie below their distribution's median is binomial with
    probability 1/2, whatever the distribution; so the k-th smallest and k-th largest miss it with
    probability 2 P(X < k). None where even the extremes miss it too often: below 6 values at 95 %.
    """
    ordered, n = sorted(values), len(values)
    missed = 2 * special.bdtr(np.arange(n // 2), n, 0.5)
    rank = int((missed <= 1 - confidence).sum())
    return (ordered[rank - 1], ordered[n - rank]) if rank else None
