"""Early ends of trials, and second chances: decisions from a study's records. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from launch.constraints import Constraint, figures_of
from launch.decisions.account import Account
from launch.decisions.early_stopping import EarlyStopping, growth
from launch.decisions.gate import Gate, Trained
from launch.figures import (
    DEFAULT,
    ENERGY,
    FigureName,
    at_height,
    heights,
    if_known,
    of_source,
    with_name,
)
from launch.pareto import Point
from launch.records import (
    DRAWN,
    REFERENCES,
    Ending,
    Failed,
    Gated,
    Infeasible,
    Stopped,
    TrialRecord,
)
from launch.trial.result import Outcome


class Trainings(Account):
    """What the gate learns from: the fully trained designs of a study."""

    def __init__(self, objectives: Sequence[FigureName] = DEFAULT) -> None:
        self._objectives = objectives
        self._known: dict[int, Trained] = {}

    def note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        if (trained := _trained(record, self._objectives)) is not None:
            self._known[record.number] = trained

    @property
    def designs(self) -> list[Trained]:
        return list(self._known.values())


class Rungs(Account):
    """What early stopping goes by: a study's trials at its rungs and at their end.

    Attributes:
        scores: by rung and trial, the scores at the rung followed by the predicted costs.
    """

    def __init__(self, objectives: Sequence[FigureName] = DEFAULT) -> None:
        self._final = _scores(objectives)
        self._ordered = (*self._final, *_costs(objectives))
        self.scores: dict[int, dict[int, Point]] = {}
        self._finals: dict[int, Point] = {}
        self._stopped: dict[int, int] = {}

    def note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        if record.predicted is None:
            return
        for epochs, metrics in record.midway.items():
            known = self.scores.setdefault(epochs, {})
            point = _point(self._ordered, Outcome(metrics=metrics, cost=record.predicted))
            if point is not None:
                known[record.number] = point
        if point := record.values(self._final):
            self._finals[record.number] = point
        self._stopped.pop(record.number, None)
        if record.state == "stopped":
            self._stopped[record.number] = max(record.midway)

    def ending(self, record: TrialRecord, rule: EarlyStopping, epochs: int) -> Ending | None:
        """How a trial that was scored at a rung ends there; None if it continues.

        Args:
            record: with that score, which need not have been noted.
        """
        self.note(None, record)
        rung = self.scores.get(epochs, {})
        compared = (
            record.number in rung and record.origin not in REFERENCES and epochs > record.promoted
        )
        if not compared or rule.survives(rung, record.number):
            return None
        comparable = rung.keys() & self._finals.keys()
        return Stopped(
            reason=f"after {epochs} of {record.config.train.epochs} epochs",
            growth=growth(rung, self._finals) if comparable else None,
        )

    def second_chance(self, rule: EarlyStopping) -> tuple[int, int] | None:
        """The stopped trial to resume, by current knowledge, and the rung where it was stopped."""
        for number in rule.second_chances(self.scores, self._stopped):
            return number, self._stopped[number]
        return None


def before_training(
    record: TrialRecord,
    trained: Sequence[Trained],
    constraints: Sequence[Constraint],
    gate: Gate | None,
    objectives: Sequence[FigureName] = DEFAULT,
) -> Ending | None:
    """How a trial with a predicted cost ends without training; None if it is trained."""
    if ENERGY in figures_of(objectives, constraints) and record.figure(ENERGY) is None:
        # On a cluster, another node may measure than the one that checked this at the start.
        read = record.predicted.energy if record.predicted else None
        return Failed(reason=read.how if read else "its energy was not read")
    # Figures that are unknown before training are judged after it.
    judged = [c for c in constraints if c.on_cost and record.figure(c.figure) is not None]
    broken = tuple(str(c) for c in judged if c.broken_by(record.figure(c.figure)))
    if broken:
        return Infeasible(broken=broken)
    if gate is None or record.origin not in DRAWN or record.predicted is None:
        return None
    size, costs = math.log(record.predicted.params), _point(_costs(objectives), record)
    if costs is None or not gate.closes(size, costs, trained):
        return None
    ceiling = zip(_scores(objectives), gate.ceiling(size, costs, trained) or (), strict=False)
    words = ", ".join(with_name(name, at_height(name, top)) for name, top in ceiling)
    return Gated(reason=f"predicted upper bound ({words}) is dominated by the front")


def _trained(record: TrialRecord, objectives: Sequence[FigureName]) -> Trained | None:
    """What a trial tells the gate; None before it has finished, or if a figure is not known."""
    if record.result is None or record.predicted is None:
        return None
    scores, costs = _scores(objectives), _costs(objectives)
    promised = Outcome(metrics=record.result.final.metrics, cost=record.predicted)
    scored, cost = _point(scores, record), _point(costs, record)
    predicted = _point(costs, promised)
    if scored is None or cost is None or predicted is None:
        return None
    return Trained(
        size=math.log(record.predicted.params),
        scores=scored,
        costs=cost,
        predicted=predicted,
        kept=not record.broken,
    )


def _scores(objectives: Sequence[FigureName]) -> tuple[FigureName, ...]:
    """The objectives that are known after training only."""
    return of_source("metrics", objectives)


def _costs(objectives: Sequence[FigureName]) -> tuple[FigureName, ...]:
    return of_source("cost", objectives)


def _point(names: Sequence[FigureName], holder: TrialRecord | Outcome) -> Point | None:
    """Figures on the scales for comparison; None if one is not known."""
    figures = if_known(map(holder.figure, names))
    return None if figures is None else heights(names, figures)
