"""Early ends of trials, and second chances: decisions from a study's records. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from launch.constraints import Constraint, figures_of
from launch.decisions.early_stopping import EarlyStopping, Rung, growth
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


def before_training(
    record: TrialRecord,
    records: Sequence[TrialRecord],
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
    trained = _trained(records, objectives)
    if costs is None or not gate.closes(size, costs, trained):
        return None
    ceiling = zip(_scores(objectives), gate.ceiling(size, costs, trained) or (), strict=False)
    words = ", ".join(with_name(name, at_height(name, top)) for name, top in ceiling)
    return Gated(reason=f"predicted upper bound ({words}) is dominated by the front")


def at_rung(
    record: TrialRecord,
    records: Sequence[TrialRecord],
    rule: EarlyStopping,
    epochs: int,
    objectives: Sequence[FigureName] = DEFAULT,
) -> Ending | None:
    """How a trial that was scored at a rung ends there; None if it continues."""
    others = [r for r in records if r.number != record.number]
    rung = rungs([*others, record], objectives).get(epochs, {})
    compared = (
        record.number in rung and record.origin not in REFERENCES and epochs > record.promoted
    )
    if not compared or rule.survives(rung, record.number):
        return None
    scores = _scores(objectives)
    final = {r.number: point for r in others if (point := r.values(scores))}
    comparable = rung.keys() & final.keys()
    return Stopped(
        reason=f"after {epochs} of {record.config.train.epochs} epochs",
        growth=growth(rung, final) if comparable else None,
    )


def second_chance(
    records: Sequence[TrialRecord], rule: EarlyStopping, objectives: Sequence[FigureName] = DEFAULT
) -> tuple[int, int] | None:
    """The stopped trial to resume, by current knowledge, and the rung where it was stopped."""
    stopped = {r.number: max(r.midway) for r in records if r.state == "stopped"}
    for number in rule.second_chances(rungs(records, objectives), stopped):
        return number, stopped[number]
    return None


def rungs(
    records: Iterable[TrialRecord], objectives: Sequence[FigureName] = DEFAULT
) -> dict[int, Rung]:
    """By rung and trial, the scores at the rung followed by the predicted costs."""
    ordered = (*_scores(objectives), *_costs(objectives))
    found: dict[int, dict[int, Point]] = {}
    for record in records:
        if record.predicted is None:
            continue
        for epochs, metrics in record.midway.items():
            point = _point(ordered, Outcome(metrics=metrics, cost=record.predicted))
            if point is not None:
                found.setdefault(epochs, {})[record.number] = point
    return dict(found)


def _trained(records: Iterable[TrialRecord], objectives: Sequence[FigureName]) -> list[Trained]:
    scores, costs = _scores(objectives), _costs(objectives)
    found = []
    for record in records:
        if record.result is None or record.predicted is None:
            continue
        promised = Outcome(metrics=record.result.final.metrics, cost=record.predicted)
        scored, cost = _point(scores, record), _point(costs, record)
        predicted = _point(costs, promised)
        if scored is not None and cost is not None and predicted is not None:
            found.append(
                Trained(
                    size=math.log(record.predicted.params),
                    scores=scored,
                    costs=cost,
                    predicted=predicted,
                    kept=not record.broken,
                )
            )
    return found


def _scores(objectives: Sequence[FigureName]) -> tuple[FigureName, ...]:
    """The objectives that are known after training only."""
    return of_source("metrics", objectives)


def _costs(objectives: Sequence[FigureName]) -> tuple[FigureName, ...]:
    return of_source("cost", objectives)


def _point(names: Sequence[FigureName], holder: TrialRecord | Outcome) -> Point | None:
    """Figures on the scales for comparison; None if one is not known."""
    figures = if_known(map(holder.figure, names))
    return None if figures is None else heights(names, figures)
