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
from dataclasses import dataclass
from statistics import median

from launch.pareto import Point, dominates
from searchspace.training import TrainConfig

Rung = Mapping[int, Point]
"""What the trials that reached a budget had there: trial number to objectives, all maximised."""


def ranks(points: Sequence[Point]) -> list[int]:
    """Non-dominated rank of each point: 0 for the front, 1 for the front without it, and so on.

    Equal points have equal ranks (Deb et al., NSGA-II, section III.A).
    """
    found = [0] * len(points)
    ordered = sorted(range(len(points)), key=lambda i: tuple(points[i]), reverse=True)
    # Whoever dominates a point stands before it in this order.
    for place, index in enumerate(ordered):
        better = (j for j in ordered[:place] if dominates(points[j], points[index]))
        found[index] = max((found[j] + 1 for j in better), default=0)
    return found


def best_first(points: Sequence[Point]) -> list[int]:
    """Indices of the points by rank; within a rank each next one is farthest from those before."""
    unit, rank_of = _normalised(points), ranks(points)
    chosen: list[int] = []
    for rank in range(max(rank_of, default=-1) + 1):
        layer = [index for index, own in enumerate(rank_of) if own == rank]
        chosen += _epsilon_net([unit[index] for index in layer], layer)
    return chosen


def _epsilon_net(points: Sequence[Point], names: Sequence[int]) -> list[int]:
    """Names of points, the best in the first objective first, then always the farthest left."""
    left = sorted(range(len(points)), key=lambda i: tuple(points[i]), reverse=True)
    distance = dict.fromkeys(left, math.inf)
    order = []
    while left:
        # Equal distances keep the order by value, so that arrival does not decide.
        nearest_last = max(left, key=lambda i: distance[i])
        left.remove(nearest_last)
        order.append(names[nearest_last])
        for index in left:
            distance[index] = min(distance[index], math.dist(points[index], points[nearest_last]))
    return order


def _normalised(points: Sequence[Point]) -> list[tuple[float, ...]]:
    """Every objective moved to 0..1 by the points' own least and largest value."""
    if not points:
        return []
    low, high = (tuple(map(end, zip(*points, strict=True))) for end in (min, max))
    spans = [(a, (b - a) or 1.0) for a, b in zip(low, high, strict=True)]
    return [tuple((x - a) / s for x, (a, s) in zip(p, spans, strict=True)) for p in points]


@dataclass(frozen=True)
class Halving:
    """When a trial is stopped, and which stopped trials deserve another chance.

    Attributes:
        budgets: epochs at which trials are compared, rising; the first behind the warm-up.
        factor: of the trials that reach a rung, one in so many goes on (eta of ASHA).
    """

    budgets: tuple[int, ...]
    factor: float = 3.0

    def __post_init__(self) -> None:
        rising = list(self.budgets) == sorted(set(self.budgets)) and self.budgets[:1] >= (1,)
        if not rising or self.factor <= 1:
            raise ValueError(
                f"halving: budgets {self.budgets} must be rising epochs from 1 and factor "
                f"{self.factor} above 1"
            )

    def survives(self, rung: Rung, trial: int) -> bool:
        """Whether a trial goes on behind a rung."""
        return trial in self.survivors(rung)

    def survivors(self, rung: Rung) -> frozenset[int]:
        """The trials that go on behind a rung: the best of it, and all of its front."""
        numbers = sorted(rung)
        points = [rung[number] for number in numbers]
        best = best_first(points)[: math.ceil(len(points) / self.factor)]
        front = [index for index, rank in enumerate(ranks(points)) if rank == 0]
        return frozenset(numbers[index] for index in (*best, *front))

    def second_chances(
        self, rungs: Mapping[int, Rung], stopped: Mapping[int, int]
    ) -> tuple[int, ...]:
        """Stopped trials that would go on by what is known now, those nearest their end first.

        Args:
            rungs: budget to what trials had there.
            stopped: trial to the budget at which it was stopped.
        """
        going = {budget: self.survivors(rungs[budget]) for budget in set(stopped.values())}
        again = [t for t, budget in stopped.items() if t in going[budget]]
        return tuple(sorted(again, key=lambda t: (-stopped[t], t)))


def default_budgets(train: TrainConfig) -> tuple[int, ...]:
    """A quarter and half of a training; the first behind its warm-up.

    Raises:
        ValueError: the training is too short for any.
    """
    first = max(math.ceil(train.epochs / 4), math.floor(_warmup(train)) + 1)
    budgets = rungs_within(sorted({first, math.ceil(train.epochs / 2)}), train)
    if not budgets:
        raise ValueError(
            f"halving: {train.epochs} epochs of training (train.epochs) with a warm-up of "
            f"{_warmup(train):g} leave no time to compare trials: train longer"
        )
    return budgets


def rungs_within(budgets: Sequence[int], train: TrainConfig) -> tuple[int, ...]:
    """Those of the budgets that lie behind the warm-up of a training and before its end."""
    return tuple(budget for budget in budgets if _warmup(train) < budget < train.epochs)


def _warmup(train: TrainConfig) -> float:
    """In epochs. One that is given in steps is the papers' of some hundred: within an epoch."""
    return train.warmup_epochs if train.warmup_steps is None else 1.0


def growth(rung: Rung, final: Rung) -> float:
    """How far the first objective grows from a rung to the end: the median over finished trials.

    Trials that scored nothing at the rung tell no ratio; 1.0 where no trial tells one.
    """
    ratios = [final[t][0] / rung[t][0] for t in rung.keys() & final.keys() if rung[t][0] > 0]
    return median(ratios) if ratios else 1.0
