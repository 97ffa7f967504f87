"""Syne Tune's multi-objective ASHA as a strategy of the replay; needs `pip install syne-tune`."""

from __future__ import annotations

import datetime

import numpy as np
from optuna.trial import FixedTrial
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

from benchmarks.search.strategies import undecided
from benchmarks.search.table import Table
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.records import TrialRecord
from launch.study.failures import Failure
from launch.trial.result import TrialResult

FACTOR = 3
"""One in this many trials at a rung continues: MOASHA's default."""


class SyneTune:
    """MOASHA (Schmucker et al.) with its defaults: random draws, and rungs at epochs 1, 3, 9, ...

    It takes the indices of the sorted trials for their ranks (`NonDominatedPriority`), so the
    trials it stops have little to do with their quality.
    """

    workers = 1
    waits = False

    def __init__(self, table: Table, seed: int, trials: int) -> None:
        # Its domains draw from NumPy's global state.
        np.random.seed(seed)  # noqa: NPY002
        self._space = table.space
        self._left = trials
        self._epochs = len(table.designs[0].curve)
        self._moasha = MOASHA(
            _domains(table),
            metrics=["ap_small", "fps"],
            do_minimize=False,
            time_attr="epoch",
            max_t=self._epochs,
            reduction_factor=FACTOR,
            random_seed=seed,
        )
        self._trials: dict[int, Trial] = {}
        self._fps: dict[int, float] = {}

    def propose(self) -> TrialRecord | None:
        if not self._left:
            return None
        self._left -= 1
        number = len(self._trials)
        drawn = self._moasha.suggest().config
        trial = Trial(number, drawn, datetime.datetime.now(datetime.UTC))
        self._trials[number] = trial
        self._moasha.on_trial_add(trial)
        return undecided(number, self._space.suggest(FixedTrial(drawn)), drawn)

    def note_prediction(self, number: int, cost: Cost, seconds: float) -> bool:
        self._fps[number] = cost.fps
        return True

    def rungs(self, record: TrialRecord) -> tuple[int, ...]:
        powers = (FACTOR**k for k in range(self._epochs))
        return tuple(epochs for epochs in powers if epochs < self._epochs)

    def note_rung(self, number: int, epochs: int, metrics: Metrics, seconds: float) -> bool:
        reported = {"epoch": epochs, "ap_small": metrics.ap_small, "fps": self._fps[number]}
        decision = self._moasha.on_trial_result(self._trials[number], reported)
        return decision == SchedulerDecision.CONTINUE

    def end(self, number: int, outcome: TrialResult | Failure) -> None:
        scored = {name: outcome.figure(name) for name in ("ap_small", "fps")}
        reported = {"epoch": self._epochs, **scored}
        self._moasha.on_trial_complete(self._trials[number], reported)


def _domains(table: Table) -> dict[str, object]:
    """Every parameter of the space with its values; inactive ones are drawn but have no effect."""
    values: dict[str, dict[object, None]] = {}
    for design in table.designs:
        for name, value in design.params.items():
            values.setdefault(name, {})[value] = None
    return {name: choice(list(known)) for name, known in values.items()}
