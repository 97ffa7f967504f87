"""Figures of trials that never ran, their reports to Optuna, and calls that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from detectors.data.readers import Split
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.files import PROGRESS, TRIALS
from launch.records import TrialRecord
from launch.study.search_settings import HOMES, changed
from launch.study.settings import StudySettings, settings_of
from launch.trial.result import Outcome, TrialResult
from searchspace import Space

NOWHERE = Split(images=Path("/nowhere"), annotations=Path("/nowhere/x.json"))


def altered(settings: StudySettings, **changes: Any) -> StudySettings:
    """Settings with other options, or with other things found when the study was begun."""
    options = {name: changes.pop(name) for name in list(changes) if name in HOMES}
    return changed(settings, **options).model_copy(update=changes)


def settings_for(space: Space, **changes: object) -> StudySettings:
    """Settings of a study whose data are never read."""
    fixed = {"train": NOWHERE, "val": NOWHERE, "fingerprint": "f"}
    return settings_of(space=space.dump(), **fixed, **changes)


def cost(fps: float, params: int = 10**6) -> Cost:
    return Cost(
        fps=fps, latency_ms=1000 / fps, spread=0, params=params, macs=1, device="x", threads=1
    )


def metrics(ap_small: float) -> Metrics:
    unknown = dict.fromkeys(name for name in Metrics.model_fields if name.startswith("a"))
    return Metrics(**unknown | {"ap_small": ap_small}, small_objects=5, classes={})


def result(
    record: TrialRecord,
    ap_small: float = 0.1,
    fps: float = 50.0,
    params: int = 10**6,
    seconds: float = 1,
) -> TrialResult:
    dense = Outcome(metrics=metrics(ap_small), cost=cost(fps, params))
    return TrialResult(
        config=record.config, dense=dense, compact=None, removed_share=0, seconds=seconds,
        predicted=dense.cost, trained=f"train-{record.number}",
    )  # fmt: skip


def told(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials of the Optuna study in a study's folder."""
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    return optuna.load_study(study_name="sparrow", storage=storage).trials


def learn(study: Path, number: int, figure: str, *values: float) -> None:
    """Write the progress of a trial: after each epoch its loss, which is 1 / epoch, and a
    figure."""
    place = study / TRIALS / f"{number:04}"
    place.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [{"time": 1e9, "stage": "train", "key": f"train-{number}"}]
    for epoch, value in enumerate(values, 1):
        at = {"part": "dense", "epoch": epoch, "time": 1e9 + 10 * epoch, "stage": "train"}
        lines.append({**at, "losses": {"box": 1 / epoch}, "seconds": 10.0})
        lines.append({**at, "figures": {figure: value}, "midway": True})
    (place / PROGRESS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def raising(error: Exception) -> Callable[..., None]:
    """A function that takes anything and fails."""

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail
