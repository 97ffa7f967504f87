"""Trials of a study that never ran, for the tests of its report."""

from __future__ import annotations

import random
from typing import Any

from detectors.evaluate import ClassMetrics, Metrics
from detectors.timing.cost import Cost
from launch.records import Finished, TrialRecord
from launch.trial.result import Outcome, TrialResult
from searchspace import TrialConfig
from searchspace.compression import CompressConfig, Slimming
from tests.launch import made_up

PRUNED = CompressConfig(pruning=Slimming(ratio=0.4))


def outcome(ap_small: float | None, fps: float, **figures: Any) -> Outcome:
    metrics = {
        "ap": 0.3, "ap50": 0.5, "ap75": 0.25, "ap_small": ap_small, "ap_medium": 0.4,
        "ap_large": None, "ar": 0.45, "ar_small": 0.2, "ar_medium": 0.5, "ar_large": None,
        "small_objects": 143,
        "classes": {"star": ClassMetrics(ap=0.31, ap50=0.52, ap_small=None)},
    }  # fmt: skip
    cost = {
        "fps": fps, "latency_ms": 1000 / fps, "spread": 0.02, "params": 1_234_567,
        "macs": 98_765_432, "device": "some processor", "threads": 1,
    }  # fmt: skip
    metrics.update({k: v for k, v in figures.items() if k in Metrics.model_fields})
    cost.update({k: v for k, v in figures.items() if k in Cost.model_fields})
    return Outcome(metrics=Metrics(**metrics), cost=Cost(**cost))


def record(
    number: int,
    ap_small: float | None = None,
    fps: float = 50.0,
    *,
    dense: tuple[float, float] | None = None,
    **fields: Any,
) -> TrialRecord:
    """A finished trial; a pruned one if `dense` tells its AP_small and FPS before the pruning."""
    config = TrialConfig(seed=number, compress=PRUNED if dense else CompressConfig())
    final = outcome(ap_small, fps, **fields.pop("figures", {}))
    result = TrialResult(
        config=config,
        dense=outcome(*dense) if dense else final,
        compact=final if dense else None,
        removed_share=0.41 if dense else 0.0,
        seconds=60,
        predicted=final.cost,
        trained=f"train-{number}",
    )
    values = {
        "number": number, "folder": f"trials/{number:04}", "origin": "sampler",
        "params": {"detector.width": 0.5}, "config": config, "seconds": 75,
        "ending": Finished(result=result, broken=fields.pop("broken", ())),
    }  # fmt: skip
    return TrialRecord(**{**values, **fields})


def ended(number: int, state: str, **fields: Any) -> TrialRecord:
    """A trial without a result."""
    said = {"broken": ()} if state == "infeasible" else {"reason": "why"}
    said |= {name: fields.pop(name) for name in ("reason", "broken", "growth") if name in fields}
    ending = None if state == "running" else {"state": state, **said}
    return record(number, ending=ending, **fields)


def baseline(ap_small: float | None, fps: float) -> TrialRecord:
    return record(0, ap_small, fps, origin="baseline")


STUDY = [
    baseline(0.10, 50),
    record(1, 0.20, 55),
    record(2, 0.12, 100, dense=(0.15, 60), params={"compress.pruning.slimming.ratio": 0.4}),
    record(3, 0.05, 70),
    ended(4, "failed", reason="TrainingFailed: not finite"),
    ended(5, "running"),
]


def many(count: int) -> list[TrialRecord]:
    """A study of many trials in every state, whose figures follow from their choices."""
    rng, records = random.Random(0), [baseline(0.1, 50.0)]
    for number in range(1, count):
        width, size = rng.choice((0.25, 0.5, 1.0)), rng.choice((160, 224, 300))
        params = {"detector.width": width, "detector.input_size": size,
                  "train.learning_rate": rng.uniform(1e-4, 1e-2)}  # fmt: skip
        ap_small = 0.1 + 0.1 * width + 0.0005 * size + rng.gauss(0, 0.02)
        fps = 9000 / (size * (0.3 + width)) * rng.uniform(0.95, 1.05)
        fields: dict[str, Any] = {"params": params, "predicted": made_up.cost(fps),
                                  "seconds": size * rng.uniform(0.5, 1.0)}  # fmt: skip
        chance = rng.random()
        if chance < 0.2:
            state = ("failed", "infeasible", "gated", "stopped")[number % 4]
            if state == "stopped":
                fields["midway"] = {1: made_up.metrics(ap_small / 2)}
            records.append(ended(number, state, **fields))
        else:
            dense = (ap_small + 0.01, fps * 0.7) if chance < 0.6 else None
            records.append(record(number, ap_small, fps, dense=dense, **fields))
    return records
