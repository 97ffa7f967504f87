"""The facts about speeds in a report: deployed forms, trust, and accuracy of predictions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from detectors.timing.cost import Cost
from launch.figures import MISSING, show
from launch.records import TrialRecord
from searchspace.geometry import Size
from searchspace.words import TIMES

FORMS, PREDICTED = "Deployed as", "Speed predicted before training"
TILED = "Images per second with tiles"

SPEEDS = ("FPS", "95 %", "Network FPS")
"""What stands above the columns of `speed_cells`."""

LATENCIES = ("p50, ms", "p90", "p99", "MB")
"""What stands above the columns of `latency_cells`."""

UNTRUSTED = 5
"""The most trials with untrusted speeds that are listed."""


def speed_facts(records: Sequence[TrialRecord]) -> Mapping[str, str]:
    """The facts that a reader needs to judge frames per second, by name; unknown ones are
    omitted."""
    finished = [record for record in records if record.result is not None]
    facts = {
        FORMS: _forms(finished),
        TILED: _tiled(finished),
        "Speeds": _trust(finished),
        PREDICTED: _prediction(finished),
    }
    return {name: fact for name, fact in facts.items() if fact}


def speed_cells(cost: Cost) -> tuple[str, ...]:
    """A speed with its interval, and that of the network alone."""
    known = cost.fps_low is not None
    return (
        show("fps", cost.fps) + ("" if cost.trusted else " ?"),
        f"{show('fps', cost.fps_low)}..{show('fps', cost.fps_high)}" if known else MISSING,
        show("fps", cost.network_fps),
    )


def latency_cells(cost: Cost) -> tuple[str, ...]:
    """Quantiles of the latency as it was, not normalised, and the memory."""
    latency = cost.timing.whole.latency if cost.timing else None
    times = (latency.p50, latency.p90, latency.p99) if latency else (None,) * 3
    memory = MISSING if cost.memory_mb is None else f"{cost.memory_mb:.0f}"
    return (*(show("latency_ms", value) for value in times), memory)


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


def _tiled(finished: Sequence[TrialRecord]) -> str:
    """What images the speeds of detectors with tiles are for, and how many tiles these have."""
    costs = [record.finished.final.cost for record in finished]
    inputs: dict[Size, set[float]] = {}
    for cost in costs:
        if cost.image_size is not None:
            inputs.setdefault(cost.image_size, set()).add(cost.inputs)
    rows = []
    for (height, width), counts in inputs.items():
        parts = " or ".join(f"{count:.3g}" for count in sorted(counts))
        rows.append(f"images of {width}{TIMES}{height} px, in {parts} parts")
    return "; ".join(rows)


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
