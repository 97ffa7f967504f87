"""What shared weights cost, how far their scores are trusted, and what they propose. Pure."""

from __future__ import annotations

import functools
import statistics
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from launch.constraints import Constraint
from launch.decisions.account import Account
from launch.decisions.spread import spread_out
from launch.figures import FigureName, height, if_known, of_source
from launch.pareto import ranks
from launch.records import TrialRecord
from launch.trial.result import figure_of
from launch.trial.shared_scores import SharedScore, SharedScores
from searchspace import DetectorConfig, TrialConfig

TRAINING = 0.75
"""The share of the time for shared weights that their training takes; scoring takes the rest."""

STEP_COST = 1.25
"""Steps of a mean trial's training that one of shared weights takes: some are sandwiches."""

SCORE_COST = 1 / 3
"""Steps of a training that a batch without gradients takes."""

FEWEST, MOST = 16, 256
"""Designs that share weights."""

PRIOR, PRIOR_TRIALS = 0.6, 4
"""The rank correlation that is expected before any trial has finished, and the trials as many as
which this counts."""

LEAST = 0.3
"""The least trust with which the scores decide anything."""

LATER = 0.5
"""With full trust, the share of later draws that the scores decide; the sampler has the others."""


@dataclass(frozen=True)
class Scope:
    """The size of the training of shared weights.

    Attributes:
        designs: those that are drawn to share them.
        steps: of the training.
        training, scoring: seconds at most; None for no limit.
    """

    designs: int
    steps: int
    training: float | None
    scoring: float | None


def scope(share: float, trials: int, steps: int, validation: int, seconds: float | None) -> Scope:
    """The size of a training that takes a share of what a search takes.

    Args:
        trials: of the search.
        steps: of the training of one of its trials.
        validation: batches with which a design is scored.
        seconds: for which the search may use its device; None without a limit.
    """
    whole = share * trials * steps
    one = SCORE_COST * max(1, validation)
    limit = None if seconds is None else share * seconds
    return Scope(
        designs=round(min(MOST, max(FEWEST, (1 - TRAINING) * whole / one))),
        steps=max(1, round(TRAINING * whole / STEP_COST)),
        training=None if limit is None else TRAINING * limit,
        scoring=None if limit is None else (1 - TRAINING) * limit,
    )


@dataclass(frozen=True)
class Trust:
    """How far the scores can be trusted.

    Attributes:
        trials: finished ones whose design has a score.
        correlation: Spearman's rank correlation of their scores and their own figure; None if
            there are too few to say.
        weight: 0 to 1; with 0 the scores decide nothing.
    """

    trials: int
    correlation: float | None
    weight: float

    @classmethod
    def by(cls, pairs: Sequence[tuple[float, float]]) -> Trust:
        """By pairs of a score and the figure that a training came to."""
        found = rank_correlation(pairs)
        count = 0 if found is None else len(pairs)
        mean = (PRIOR * PRIOR_TRIALS + count * (found or 0.0)) / (PRIOR_TRIALS + count)
        return cls(len(pairs), found, mean if mean >= LEAST else 0.0)


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's; None for fewer than three pairs, or where all of one side are equal."""
    if len(pairs) < 3:
        return None
    try:
        return statistics.correlation(*(_mean_ranks(side) for side in zip(*pairs, strict=True)))
    except statistics.StatisticsError:
        return None


def is_turn_of_scores(weight: float, shared: int, drawn: int, startup: int) -> bool:
    """Whether the scores, and not the sampler, decide the next draw.

    They replace the sampler's random draws at the beginning, and have a share of the later ones.

    Args:
        weight: see `Trust`.
        shared, drawn: draws so far that the scores and the sampler decided.
        startup: random draws with which the sampler would begin.
    """
    if weight <= 0:
        return False
    later = shared + drawn - startup
    return later < 0 or shared - startup < weight * LATER * later


class Guide(Account):
    """Proposes designs by their scores with shared weights.

    Designs are taken front by front, over the metrics among the objectives and the known costs;
    those of one front in an order in which the first few are spread over the costs. A speed is not
    known before it is measured, so multiply-accumulates stand for it.

    Attributes:
        scores: what it goes by.
    """

    def __init__(
        self,
        scores: SharedScores,
        objectives: Sequence[FigureName],
        constraints: Sequence[Constraint],
        stock: float,
        known: Iterable[DetectorConfig] = (),
    ) -> None:
        """
        Args:
            stock: multiply-accumulates of the baseline, which runs first.
            known: designs whose results are known from elsewhere, which are not proposed.
        """
        self.scores = scores
        self._metrics = of_source("metrics", objectives)
        self._costs = of_source("cost", objectives)
        self._constraints = constraints
        self._stock = stock
        self._tried = set(known)
        self._pairs: dict[int, tuple[float, float]] = {}

    @property
    def figure(self) -> FigureName:
        """The figure by which scores and trials are compared."""
        return self._metrics[0]

    def note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        design = record.as_drawn.detector
        if before is None:
            self._tried.add(design)
        score = self._by_design.get(design) if record.result else None
        if score is None:
            return
        pair = if_known(
            (figure_of(self.figure, score.metrics, None), _trained(record, self.figure))
        )
        if pair is not None:
            self._pairs[record.number] = pair[0], pair[1]

    @property
    def trust(self) -> Trust:
        """How far the scores agree with what the same designs came to, before any pruning."""
        return Trust.by(list(self._pairs.values()))

    def next(self, shared: int, drawn: int, startup: int) -> TrialConfig | None:
        """The next design that the scores propose; None if it is the sampler's turn.

        Args:
            shared, drawn, startup: see `is_turn_of_scores`.
        """
        if not is_turn_of_scores(self.trust.weight, shared, drawn, startup):
            return None
        while self._left and self._left[0].detector in self._tried:
            self._left.popleft()
        return self._left[0] if self._left else None

    @functools.cached_property
    def _left(self) -> deque[TrialConfig]:
        """The designs that may not have been tried, in order."""
        return deque(score.config for score in self.order)

    @functools.cached_property
    def _by_design(self) -> dict[DetectorConfig, SharedScore]:
        return {score.config.detector: score for score in self.scores.scores}

    @functools.cached_property
    def order(self) -> list[SharedScore]:
        """The designs with scores that may keep to all bounds, the first to be tried first."""
        found, points = [], []
        for score in filter(self._may_hold, self.scores.scores):
            point = self._point(score)
            if point is not None:
                found.append(score)
                points.append(point)
        order = spread_out(ranks(points), [score.macs for score in found], self._stock)
        return [found[i] for i in order]

    def _point(self, score: SharedScore) -> tuple[float, ...] | None:
        metrics = if_known(figure_of(name, score.metrics, None) for name in self._metrics)
        if metrics is None:
            return None
        heights = map(height, self._metrics, metrics)
        costs = dict.fromkeys("params" if name == "params" else "macs" for name in self._costs)
        return *heights, *(height(name, getattr(score, name)) for name in costs)

    def _may_hold(self, score: SharedScore) -> bool:
        """Whether no bound on a cost that is known already is broken."""
        known = {"params": score.params, "macs": score.macs}
        return not any(c.broken_by(known[c.figure]) for c in self._constraints if c.figure in known)


def _trained(record: TrialRecord, name: FigureName) -> float | None:
    return None if record.result is None else record.result.dense.figure(name)


def _mean_ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value; equal ones share the mean of theirs."""
    order = sorted(values)
    return [(bisect_left(order, v) + bisect_right(order, v) - 1) / 2 for v in values]
