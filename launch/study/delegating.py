"""Samplers that have others draw."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState


class Delegating(BaseSampler):
    """A sampler that says which one draws a trial, and what that one sees while it draws."""

    def __init__(self, *samplers: BaseSampler) -> None:
        """
        Args:
            samplers: all that may draw.
        """
        self._samplers = samplers

    @abstractmethod
    def _of(self, trial: FrozenTrial) -> BaseSampler:
        """The one that draws a trial, which depends on the study alone."""

    def _view(self, study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
        """What it sees while it draws the trial's parameters."""
        return study

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(self._view(study, trial), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        view = self._view(study, trial)
        return self._of(trial).sample_independent(view, trial, param_name, param_distribution)

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
        for sampler in self._samplers:
            sampler.reseed_rng()
