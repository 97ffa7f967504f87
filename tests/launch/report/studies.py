"""Trials of a study that never ran, for the tests of its report."""

from __future__ import annotations

from typing import Any

from detectors.evaluate import ClassMetrics, Metrics
from detectors.timing.cost import Cost
from launch.records import Finished, TrialRecord
from launch.trial.result import Outcome, TrialResult
from searchspace import TrialConfig
from searchspace.compression import CompressConfig, Slimming

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
    metrics.update({k: v for k, v in figures.items() if k in metrics})
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
