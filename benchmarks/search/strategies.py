"""The strategies of the replay: Optuna's plain samplers, and the study with its features."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from benchmarks.search.table import Table
from detectors.data.readers import Split
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.records import TrialRecord
from launch.study.failures import Failure
from launch.study.opening import open_study
from launch.study.settings import StudySettings, settings_of
from launch.study.study import Study
from launch.trial.result import TrialResult
from searchspace import Space, TrialConfig

NOWHERE = Split(images=Path("recorded"), annotations=Path("recorded"))


def settings_for(space: Space, seed: int, trials: int, **devices: Any) -> StudySettings:
    """Settings of a study whose data are never read."""
    return settings_of(
        space=space.dump(),
        train=NOWHERE,
        val=NOWHERE,
        fingerprint="recorded",
        trials=trials,
        seed=seed,
        **devices,
    )


def undecided(number: int, config: TrialConfig, params: Mapping[str, Any]) -> TrialRecord:
    """A trial that was just drawn, by whatever drew it."""
    return TrialRecord(
        number=number, folder="", origin="sampler", params=dict(params), config=config
    )


class Plain:
    """Optuna's ask and tell with nothing around it, as in Ray Tune's OptunaSearch."""

    workers = 1
    waits = False

    def __init__(self, table: Table, sampler: BaseSampler, trials: int) -> None:
        self._table = table
        self._left = trials
        self._study = optuna.create_study(directions=["maximize"] * 2, sampler=sampler)

    def propose(self) -> TrialRecord | None:
        if not self._left:
            return None
        self._left -= 1
        trial = self._study.ask()
        return undecided(trial.number, self._table.space.suggest(trial), trial.params)

    def rungs(self, record: TrialRecord) -> tuple[int, ...]:
        return ()

    def note_prediction(self, number: int, cost: Cost, seconds: float) -> bool:
        return True

    def note_rung(self, number: int, epochs: int, metrics: Metrics, seconds: float) -> bool:
        raise AssertionError("there are no rungs")

    def end(self, number: int, outcome: TrialResult | Failure) -> None:
        self._study.tell(number, [outcome.figure("ap_small"), outcome.figure("fps")])


def ours(
    table: Table, folder: Path, seed: int, trials: int, **devices: Any
) -> AbstractContextManager[Study]:
    """The study of `sparrow search`, in its own folder.

    Args:
        devices: settings of the study, such as `gate` or `ladder`.
    """
    return open_study(folder, settings_for(table.space, seed, trials, **devices))
