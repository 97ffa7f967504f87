"""What the replay compares: Optuna's samplers as they are, and the study with its devices."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.samplers import BaseSampler

from benchmarks.search.table import Design, Table
from launch.study import SplitPaths
from searchspace import TrialConfig

NOWHERE = SplitPaths(images=Path("recorded"), annotations=Path("recorded"))


class Plain:
    """Optuna's ask and tell, with nothing around it: what a search by `OptunaSearch` does."""

    shares = False
    rungs: tuple[int, ...] = ()

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

    def begins(self, number: int, design: Design) -> bool:
        return True

    def goes_on(self, number: int, epochs: int, design: Design) -> bool:
        return True

    def ends(self, number: int, design: Design, seconds: float) -> None:
        self._study.tell(number, [design.ap_small, design.fps])
