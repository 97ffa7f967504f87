"""Early stopping with several objectives: successive halving on ranks. Pure decisions.

After the asynchronous successive halving of Li et al. (ASHA, section 3.2), with the position of a
trial at a rung decided by non-dominated rank, and within a rank by how far a point lies from those
chosen before it (Schmucker et al., multi-objective ASHA, section 4: epsilon-net). Points are
compared at equal budgets only, and their objectives are normalised by the rung's own spread, so
that neither the order of arrival nor the scale of an objective matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import field_validator

from launch.decisions.early_stopping import EarlyStopping, Rung
from launch.pareto import Point


def ranks(points: Sequence[Point]) -> list[int]:
    """Non-dominated rank of each point: 0 for the front, 1 for the front without it, and so on.

    Equal points have equal ranks (Deb et al., NSGA-II, section III.A).
    """
    if not points:
        return []
    # Imported here: a search without halving does without.
    import numpy as np
    from moocore import pareto_rank

    return pareto_rank(np.array(points, dtype=float), maximise=True).tolist()


def best_first(points: Sequence[Point], most: int | None = None) -> list[int]:
    """Indices of the points by rank; within a rank, each is the farthest from those before it.

    Args:
        most: how many are wanted; None for all.
    """
    most = len(points) if most is None else most
    layers: dict[int, list[int]] = {}
    for index, rank in enumerate(ranks(points)):
        layers.setdefault(rank, []).append(index)
    unit = _normalised(points)
    chosen: list[int] = []
    for rank in range(len(layers)):
        if len(chosen) >= most:
            break
        chosen += _epsilon_net([unit[index] for index in layers[rank]], layers[rank])
    return chosen[:most]


def _epsilon_net(points: Sequence[Point], names: Sequence[int]) -> list[int]:
    """Names of points, the best in the first objective first, then always the farthest
    remaining."""
    left = sorted(range(len(points)), key=lambda i: tuple(points[i]), reverse=True)
    distance = dict.fromkeys(left, math.inf)
    order = []
    while left:
        # Equal distances keep the order by value, so that the order of arrival has no effect.
        nearest_last = max(left, key=lambda i: distance[i])
        left.remove(nearest_last)
        order.append(names[nearest_last])
        for index in left:
            distance[index] = min(distance[index], math.dist(points[index], points[nearest_last]))
    return order


def _normalised(points: Sequence[Point]) -> list[tuple[float, ...]]:
    """Every objective normalised to 0..1 by its smallest and largest value among the points."""
    if not points:
        return []
    low, high = (tuple(map(end, zip(*points, strict=True))) for end in (min, max))
    spans = [(a, (b - a) or 1.0) for a, b in zip(low, high, strict=True)]
    return [tuple((x - a) / s for x, (a, s) in zip(p, spans, strict=True)) for p in points]


class Halving(EarlyStopping):
    """Asynchronous successive halving on ranks: the front and the best share of a rung continue.

    Attributes:
        factor: 1 in `factor` trials that reach a rung continues (eta of ASHA).
    """

    kind: Literal["halving"] = "halving"
    factor: float = 3.0

    @field_validator("factor")
    @classmethod
    def _selects(cls, factor: float) -> float:
        if factor <= 1:
            raise ValueError(f"factor {factor}: give a number above 1")
        return factor

    def survives(self, rung: Rung, trial: int) -> bool:
        return trial in self.survivors(rung)

    def survivors(self, rung: Rung) -> frozenset[int]:
        """The trials that continue after a rung: the best share, and all of its front."""
        numbers = sorted(rung)
        points = [rung[number] for number in numbers]
        best = best_first(points, math.ceil(len(points) / self.factor))
        front = [index for index, rank in enumerate(ranks(points)) if rank == 0]
        return frozenset(numbers[index] for index in (*best, *front))

    def second_chances(
        self, rungs: Mapping[int, Rung], stopped: Mapping[int, int]
    ) -> tuple[int, ...]:
        """Stopped trials that would survive now, those closest to their end first."""
        going = {budget: self.survivors(rungs[budget]) for budget in set(stopped.values())}
        again = [t for t, budget in stopped.items() if t in going[budget]]
        return tuple(sorted(again, key=lambda t: (-stopped[t], t)))

    def in_words(self) -> str:
        rungs = " and ".join(map(str, self.budgets))
        return f"after {rungs} epochs, except the front and 1 in {self.factor:g}"
