"""Whether a design can reach the front at all, judged before it is trained. Pure decisions.

What a design may score at most is predicted from trained designs of about as many parameters. How
far that can be wrong is taken from how wrong it would have been about each of those, had it not
been there (split conformal prediction by leaving one out, after Barber et al., "Predictive
inference with the jackknife+", 2021). The guarantee of that supposes designs that are drawn alike,
which those of a sampler that learns are not; hence a margin that errs on the side of training.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from launch.pareto import Point, dominates


@dataclass(frozen=True)
class Trained:
    """A design that was trained to its end, all objectives to be maximised.

    Attributes:
        size: by which designs are neighbours: the logarithm of the number of parameters.
        scores: the objectives that only a training tells, such as AP_small.
        costs: the others as they were measured at the end, such as the logarithm of FPS.
        predicted: the same as they were predicted before training.
        kept: it keeps to all constraints, so it may be on the front.
    """

    size: float
    scores: Point
    costs: Point
    predicted: Point
    kept: bool = True


@dataclass(frozen=True)
class Gate:
    """When a design is not worth training.

    Attributes:
        least: trained designs before any is judged.
        nearest: how many of them, the nearest in size, a design is compared with.
        confidence: how often at least a ceiling shall hold.
    """

    least: int = 10
    nearest: int = 5
    confidence: float = 0.9

    def ceiling(self, size: float, predicted: Point, trained: Sequence[Trained]) -> Point | None:
        """The best that a design may come to: its scores, then its costs.

        None while too few designs are trained to tell.
        """
        if len(trained) < self.least:
            return None
        others = [[*trained[:i], *trained[i + 1 :]] for i in range(len(trained))]
        ceilings = []
        for axis in range(len(trained[0].scores)):
            errors = [
                design.scores[axis] - self._best_near(design.size, rest, axis)
                for design, rest in zip(trained, others, strict=True)
            ]
            ceilings.append(self._best_near(size, trained, axis) + self._margin(errors))
        for axis, cost in enumerate(predicted):
            errors = [design.costs[axis] - design.predicted[axis] for design in trained]
            ceilings.append(cost + self._margin(errors))
        return tuple(ceilings)

    def closes(self, size: float, predicted: Point, trained: Sequence[Trained]) -> bool:
        """Whether one trained design beats even the best that a new one may come to."""
        best = self.ceiling(size, predicted, trained)
        return best is not None and any(
            dominates((*design.scores, *design.costs), best) for design in trained if design.kept
        )

    def _best_near(self, size: float, trained: Sequence[Trained], axis: int) -> float:
        near = heapq.nsmallest(self.nearest, trained, key=lambda design: abs(design.size - size))
        return max(design.scores[axis] for design in near)

    def _margin(self, errors: Sequence[float]) -> float:
        """What a new error stays below with the wanted confidence; at least 0."""
        place = math.ceil((len(errors) + 1) * self.confidence)
        if place > len(errors):
            return math.inf
        return max(0.0, sorted(errors)[place - 1])
