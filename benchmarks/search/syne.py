"""Syne Tune's multi-objective ASHA as a strategy of the replay; needs `pip install syne-tune`."""

from __future__ import annotations

import datetime

import numpy as np
from optuna.trial import FixedTrial
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

from benchmarks.search.table import Design, Table
from searchspace import TrialConfig

FACTOR = 3
"""Of the trials at a rung, one in so many goes on: MOASHA's own default."""


class SyneTune:
    """MOASHA (Schmucker et al.) as it comes: random draws, and rungs at epochs 1, 3, 9, ...

    It takes the indices of the sorted trials for their ranks (`NonDominatedPriority`), so which
    ones it stops has little to do with how good they are.
    """

    shares = False
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

    def propose(self) -> tuple[int, TrialConfig] | None:
        if not self._left:
            return None
        self._left -= 1
        number = len(self._trials)
        drawn = self._moasha.suggest().config
        trial = Trial(number, drawn, datetime.datetime.now(datetime.UTC))
        self._trials[number] = trial
        self._moasha.on_trial_add(trial)
        return number, self._space.suggest(FixedTrial(drawn))

    def foresee(self, number: int, design: Design) -> bool:
        return True

    def rungs(self, number: int) -> tuple[int, ...]:
        powers = (FACTOR**k for k in range(self._epochs))
        return tuple(epochs for epochs in powers if epochs < self._epochs)

    def reach(self, number: int, epochs: int, design: Design) -> bool:
        reported = {"epoch": epochs, "ap_small": design.curve[epochs - 1], "fps": design.fps}
        decision = self._moasha.on_trial_result(self._trials[number], reported)
        return decision == SchedulerDecision.CONTINUE

    def end(self, number: int, design: Design, seconds: float) -> None:
        reported = {"epoch": self._epochs, "ap_small": design.ap_small, "fps": design.fps}
        self._moasha.on_trial_complete(self._trials[number], reported)


def _domains(table: Table) -> dict[str, object]:
    """Every parameter of the space with its values; those of other choices are drawn in vain."""
    values: dict[str, dict[object, None]] = {}
    for design in table.designs:
        for name, value in design.params.items():
            values.setdefault(name, {})[value] = None
    return {name: choice(list(known)) for name, known in values.items()}
