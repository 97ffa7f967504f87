"""A sampler that another one takes over from."""

from __future__ import annotations

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from launch.study.delegating import Delegating


class Handover(Delegating):
    """One sampler for the first draws of a study, and another for the others.

    Which one draws depends on the number of the draw alone, so that it is the same after resuming.
    """

    def __init__(self, first: BaseSampler, then: BaseSampler, draws: int) -> None:
        """
        Args:
            draws: those of the first.
        """
        super().__init__(first, then)
        self._draws = draws

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        first, then = self._samplers
        return first if trial.number < self._draws else then
