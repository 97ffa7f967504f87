"""An order of designs in which the first few are good, and spread over the costs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def spread_out(ranks: Sequence[int], costs: Sequence[float], stock: float) -> list[int]:
    """Indices in the order of ranks; among equals, the next one is always that whose cost is
    farthest from all before it, on a logarithmic scale.

    Args:
        stock: the cost of a design that came before all of them.
    """
    logs = [math.log(cost) for cost in costs]
    apart = [abs(cost - math.log(stock)) for cost in logs]
    left, order = set(range(len(ranks))), []
    while left:
        best = min(ranks[i] for i in left)
        chosen = max(sorted(i for i in left if ranks[i] == best), key=apart.__getitem__)
        left.remove(chosen)
        order.append(chosen)
        apart = [min(a, abs(cost - logs[chosen])) for a, cost in zip(apart, logs, strict=True)]
    return order
