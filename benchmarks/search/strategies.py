"""What the replay compares: Optuna's samplers as they are, and the study with its devices."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from benchmarks.search.table import Design, Table
from launch.records import TrialRecord
from launch.study.settings import SplitPaths, StudySettings
from launch.study.study import open_study
from searchspace import Space, TrialConfig

NOWHERE = SplitPaths(images=Path("recorded"), annotations=Path("recorded"))


def settings_for(space: Space, seed: int, trials: int, **devices: Any) -> StudySettings:
    """Settings of a study whose data nobody reads."""
    return StudySettings(
        space=space.dump(),
        train=NOWHERE,
        val=NOWHERE,
        fingerprint="recorded",
        trials=trials,
        seed=seed,
        **devices,
    )


class Plain:
    """Optuna's ask and tell with nothing around it, as a search by Ray Tune's OptunaSearch does."""

    shares = False
    waits = False

    def __init__(self, table: Table, sampler: BaseSampler, trials: int) -> None:
        self._table = table
        self._left = trials
        self._study = optuna.create_study(directions=["maximize"] * 2, sampler=sampler)

    def propose(self) -> tuple[int, TrialConfig] | None:
        if not self._left:
            return None
        self._left -= 1
        trial = self._study.ask()
        return trial.number, self._table.space.suggest(trial)

    def foresee(self, number: int, design: Design) -> bool:
        return True

    def rungs(self, number: int) -> tuple[int, ...]:
        return ()

    def reach(self, number: int, epochs: int, design: Design) -> bool:
        raise AssertionError("there are no rungs")

    def end(self, number: int, design: Design, seconds: float) -> None:
        self._study.tell(number, [design.ap_small, design.fps])


class Ours(AbstractContextManager):
    """The study of a search, in a folder of its own.

    Args:
        shares: trials with the same dense detector train it once, as a study's do.
        devices: settings of the study, such as `gate` or `ladder`.
    """

    def __init__(
        self,
        table: Table,
        folder: Path,
        seed: int,
        trials: int,
        shares: bool = True,
        **devices: Any,
    ) -> None:
        self.shares = shares
        self._opened = open_study(folder, settings_for(table.space, seed, trials, **devices))
        self._study = self._opened.__enter__()
        self._records: dict[int, TrialRecord] = {}

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    @property
    def waits(self) -> bool:
        return self._study.waits

    def propose(self) -> tuple[int, TrialConfig] | None:
        record = self._study.propose()
        if record is None:
            return None
        self._records[record.number] = record
        return record.number, record.config

    def foresee(self, number: int, design: Design) -> bool:
        return self._study.foresee(number, design.result.predicted, design.seconds.predict)

    def rungs(self, number: int) -> tuple[int, ...]:
        return self._study.rungs(self._records[number])

    def reach(self, number: int, epochs: int, design: Design) -> bool:
        metrics = design.result.dense.metrics
        metrics = metrics.model_copy(update={"ap_small": design.curve[epochs - 1]})
        return self._study.reach(number, epochs, metrics, 0.0)

    def end(self, number: int, design: Design, seconds: float) -> None:
        self._study.end(number, design.result.model_copy(update={"seconds": seconds}))
