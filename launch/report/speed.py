"""The facts about speeds in a report: deployed forms, trust, and accuracy of predictions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from launch.records import TrialRecord

FORMS, PREDICTED = "Deployed as", "Speed predicted before training"

UNTRUSTED = 5
"""The most trials with untrusted speeds that are listed."""


def speed_facts(records: Sequence[TrialRecord]) -> Mapping[str, str]:
    """The facts that a reader needs to judge frames per second, by name; unknown ones are
    omitted."""
    finished = [record for record in records if record.result is not None]
    facts = {
        FORMS: _forms(finished),
        "Speeds": _trust(finished),
        PREDICTED: _prediction(finished),
    }
    return {name: fact for name, fact in facts.items() if fact}


def prediction_errors(records: Sequence[TrialRecord]) -> dict[int, float]:
    """By trial, predicted FPS divided by final FPS, minus one; without trials whose figures were
    reported by another trainer, for which nothing is predicted."""
    results = (
        (record.number, record.result)
        for record in records
        if record.result and not record.result.is_reported
    )
    return {n: found.predicted.fps / found.final.cost.fps - 1 for n, found in results}


def _forms(finished: Sequence[TrialRecord]) -> str:
    costs = [record.finished.final.cost for record in finished]
    forms = dict.fromkeys(
        f"{c.runtime} {c.precision}" + (f" in batches of {c.batch}" if c.batch > 1 else "")
        for c in costs
    )
    return f"{', '.join(forms)}, for both accuracy and speed" if forms else ""


def _trust(finished: Sequence[TrialRecord]) -> str:
    doubted = [record for record in finished if not record.finished.final.cost.trusted]
    if not finished:
        return ""
    if not doubted:
        return "the machine was quiet enough for all of them"
    reasons = [f"trial {r.number}: {r.finished.final.cost.doubt}" for r in doubted[:UNTRUSTED]]
    more = ["..."] if len(doubted) > UNTRUSTED else []
    return f"{len(doubted)} of {len(finished)} are not trusted: " + "; ".join(reasons + more)


def _prediction(finished: Sequence[TrialRecord]) -> str:
    errors = [abs(error) for error in prediction_errors(finished).values()]
    if not errors:
        return ""
    return (
        f"median error {statistics.median(errors):.1%}, at most {max(errors):.1%} "
        f"over {len(errors)} trial{'s' if len(errors) > 1 else ''}"
    )
