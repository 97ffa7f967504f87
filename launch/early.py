"""What ends a trial early, and who gets another chance: decisions from a study's records. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from detectors.cost import Cost
from detectors.evaluate import Metrics
from launch.constraints import Constraint
from launch.front import Point, log_fps
from launch.gate import Gate, Trained
from launch.halving import Halving, Rung, growth
from launch.records import OBJECTIVES, TrialRecord
from launch.report.words import LABELS, show
from launch.trial import Outcome

SCORES = tuple(name for name in OBJECTIVES if name in Metrics.model_fields)
"""Objectives that a training tells; the others are known before it."""

COSTS = tuple(name for name in OBJECTIVES if name in Cost.model_fields)

FREE = ("baseline", "paper")
"""Origins of trials that a front is read against: they are trained whatever is expected of them."""

Change = dict[str, Any]
"""What becomes different in the record of a trial that ends; empty for one that goes on."""


def before_training(
    record: TrialRecord,
    records: Sequence[TrialRecord],
    constraints: Sequence[Constraint],
    gate: Gate | None,
) -> Change:
    """Whether a trial whose cost is predicted shall be trained."""
    judged = (c for c in constraints if c.on_cost)
    broken = tuple(str(c) for c in judged if c.broken_by(record.figure(c.figure)))
    if broken:
        return {"state": "infeasible", "broken": broken}
    if gate is None or record.origin != "sampler":
        return {}
    size, costs = math.log(record.predicted.params), _values(COSTS, record)
    trained = _trained(records)
    if not gate.closes(size, costs, trained):
        return {}
    ceiling = dict(zip(SCORES, gate.ceiling(size, costs, trained), strict=False))
    words = ", ".join(f"{LABELS[name]} {show(name, value)}" for name, value in ceiling.items())
    return {"state": "gated", "reason": f"the front is better than all it may reach ({words})"}


def at_rung(
    record: TrialRecord, records: Sequence[TrialRecord], halving: Halving, epochs: int
) -> Change:
    """Whether a trial that was scored after some epochs is trained on."""
    others = [r for r in records if r.number != record.number]
    rung = rungs([*others, record])[epochs]
    if record.origin in FREE or epochs <= record.promoted or halving.survives(rung, record.number):
        return {}
    final = {r.number: r.objectives for r in others if r.state == "finished"}
    told = rung.keys() & final.keys()
    return {
        "state": "stopped",
        "reason": f"stopped after {epochs} of {record.config.train.epochs} epochs",
        "growth": growth(rung, final) if told else None,
    }


def second_chance(records: Sequence[TrialRecord], halving: Halving) -> tuple[int, int] | None:
    """The stopped trial to go on with, by what is known now, and the rung that it stands at."""
    stopped = {r.number: max(r.midway) for r in records if r.state == "stopped"}
    for number in halving.second_chances(rungs(records), stopped):
        return number, stopped[number]
    return None


def rungs(records: Iterable[TrialRecord]) -> dict[int, Rung]:
    """What the trials scored at each rung, beside what their detectors are to cost."""
    found: dict[int, dict[int, Point]] = {}
    for record in records:
        for epochs, metrics in record.midway.items():
            point = _values(OBJECTIVES, Outcome(metrics=metrics, cost=record.predicted))
            found.setdefault(epochs, {})[record.number] = point
    return found


def _trained(records: Iterable[TrialRecord]) -> list[Trained]:
    return [
        Trained(
            size=math.log(record.predicted.params),
            scores=_values(SCORES, record.result),
            costs=_values(COSTS, record.result),
            predicted=tuple(_value(name, getattr(record.predicted, name)) for name in COSTS),
            kept=not record.broken,
        )
        for record in records
        if record.state == "finished" and record.predicted is not None
    ]


def _values(names: Iterable[str], holder: TrialRecord | Outcome) -> Point:
    """Objectives on the scales that they are compared on."""
    return tuple(_value(name, holder.figure(name)) for name in names)


def _value(name: str, figure: float) -> float:
    return log_fps(figure) if name == "fps" else figure
