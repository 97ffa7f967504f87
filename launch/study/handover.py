"""A sampler that another one takes over from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState


class Handover(BaseSampler):
    """One sampler for the first draws of a study, and another for the others.

    Which one draws depends on the number of the draw alone, so that it is the same after resuming.
    """

    def __init__(self, first: BaseSampler, then: BaseSampler, draws: int) -> None:
        """
        Args:
            draws: those of the first.
        """
        self._first, self._then, self._draws = first, then, draws

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        return self._first if trial.number < self._draws else self._then

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._of(trial).before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._of(trial).after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._first.reseed_rng()
        self._then.reseed_rng()
