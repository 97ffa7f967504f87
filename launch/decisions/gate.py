"""The gate: whether a design can reach the front, judged before training. Pure decisions.

The upper bound of a design's scores is predicted from trained designs with about as many
parameters. Its margin comes from the errors of predicting each of these from the others
(leave-one-out conformal prediction, after Barber et al., "Predictive inference with the
jackknife+", 2021). The guarantee assumes exchangeable designs, which those of a learning sampler
are not; hence a margin that errs on the side of training.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from launch.pareto import Point, dominates


@dataclass(frozen=True)
class Trained:
    """A fully trained design; all objectives are to be maximised.

    Attributes:
        size: the logarithm of the number of parameters, by which neighbours are found.
        scores: the objectives known after training only, such as AP_small.
        costs: the other objectives as measured at the end, such as the logarithm of FPS.
        predicted: the same as predicted before training.
        kept: whether it satisfies all constraints and so may be on the front.
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
        least: number of trained designs before any is judged.
        nearest: number of trained designs, nearest in size, that a design is compared with.
        confidence: the probability with which an upper bound must hold.
        latest: number of trained designs, the latest, from which it is computed: predicting each
            of them from the others takes time that grows with its square.
    """

    least: int = 10
    nearest: int = 5
    confidence: float = 0.9
    latest: int = 200

    def ceiling(self, size: float, predicted: Point, trained: Sequence[Trained]) -> Point | None:
        """The predicted upper bound of a design: scores, then costs.

        None while too few designs are trained.
        """
        if len(trained) < self.least:
            return None
        trained = trained[-self.latest :]
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
        """Whether a trained design dominates the upper bound of a new one."""
        best = self.ceiling(size, predicted, trained)
        return best is not None and any(
            dominates((*design.scores, *design.costs), best) for design in trained if design.kept
        )

    def _best_near(self, size: float, trained: Sequence[Trained], axis: int) -> float:
        near = heapq.nsmallest(self.nearest, trained, key=lambda design: abs(design.size - size))
        return max(design.scores[axis] for design in near)

    def _margin(self, errors: Sequence[float]) -> float:
        """The bound of a new error at the given confidence; at least 0."""
        place = math.ceil((len(errors) + 1) * self.confidence)
        if place > len(errors):
            return math.inf
        return max(0.0, sorted(errors)[place - 1])
