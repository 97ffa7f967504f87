"""Multivariate TPE over groups of parameters, which computes once what its groups share.

Optuna's own sampler divides the trials into good and others, and turns the parameters of each into
numbers, anew for every group of parameters that occur together: some thirty times for one proposal
of a large space. It also goes through all trials for the groups, and copies these. The proposals
are the same; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from launch.study.bounded import SEEN

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)

Numbers = dict[str, float]
"""The parameters of a trial as numbers."""


@dataclass(frozen=True)
class _Half:
    """The good trials, or the others.

    Attributes:
        columns: the places of the parameters.
        table: the parameters of each trial in a row, NaN for those that it does not have.
    """

    columns: Mapping[str, int]
    table: np.ndarray

    @classmethod
    def of(cls, trials: Sequence[Numbers]) -> _Half:
        columns = {name: i for i, name in enumerate(dict.fromkeys(n for t in trials for n in t))}
        table = np.full((len(trials), len(columns)), np.nan)
        for row, trial in zip(table, trials, strict=True):
            row[[columns[name] for name in trial]] = list(trial.values())
        return cls(columns, table)

    def observed(self, space: Mapping[str, BaseDistribution]) -> dict[str, np.ndarray]:
        """The values of some parameters in the trials that have all of them."""
        if not space.keys() <= self.columns.keys():
            return {name: np.empty(0) for name in space}
        table = self.table[:, [self.columns[name] for name in space]]
        return dict(zip(space, table[~np.isnan(table).any(axis=1)].T, strict=True))


class GroupedTPE(TPESampler):
    """TPE with the proposals of Optuna's `TPESampler(multivariate=True, group=True)`.

    What it keeps between proposals follows from the study's trials alone.
    """

    def __init__(self, seed: int, startup: int) -> None:
        """
        Args:
            startup: random draws before it learns.
        """
        super().__init__(multivariate=True, group=True, n_startup_trials=startup, seed=seed)
        self._grouped: set[int] = set()
        self._groups = self._search_space_group = _SearchSpaceGroup()
        self._numbers: dict[tuple[int, TrialState], Numbers] = {}
        self._divided: tuple[int, optuna.Study, tuple[_Half, _Half]] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        for ended in study.get_trials(deepcopy=False, states=ENDED):
            if ended.number not in self._grouped:
                self._grouped.add(ended.number)
                self._groups.add_distributions(ended.distributions)
        return {
            name: distribution
            for group in self._groups.search_spaces
            for name, distribution in sorted(group.items())
            if not distribution.single()
        }

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        good, others = (half.observed(search_space) for half in self._halves(study, trial))
        weights = np.ones(len(next(iter(good.values())))) if len(study.directions) > 1 else None
        make, usual = self._parzen_estimator_cls, self._parzen_estimator_parameters
        below = make(good, search_space, usual, weights)
        above = make(others, search_space, usual)
        samples = below.sample(self._rng.rng, self._n_ei_candidates)
        scores = self._compute_acquisition_func(samples, below, above)
        best = self._compare(samples, scores)
        return {name: kind.to_external_repr(best[name]) for name, kind in search_space.items()}

    def _halves(self, study: optuna.Study, trial: FrozenTrial) -> tuple[_Half, _Half]:
        """The good trials and the others, of which each parameter of a trial is drawn."""
        if self._divided is None or self._divided[:2] != (trial.number, study):
            self._divided = trial.number, study, self._divide(study, trial)
        return self._divided[2]

    def _divide(self, study: optuna.Study, trial: FrozenTrial) -> tuple[_Half, _Half]:
        trials = [
            one
            for one in study.get_trials(deepcopy=False, states=SEEN)
            if one.number != trial.number
        ]
        ended = sum(one.state != TrialState.RUNNING for one in trials)
        gamma = default_gamma_multiobjective if len(study.directions) > 1 else default_gamma
        known = self._numbers
        self._numbers = {
            (one.number, one.state): known.get((one.number, one.state))
            or self._numbers_of(one, study)
            for one in trials
        }
        good, others = (
            _Half.of([self._numbers[one.number, one.state] for one in half])
            for half in _split_trials(study, trials, gamma(ended))
        )
        return good, others

    def _numbers_of(self, trial: FrozenTrial, study: optuna.Study) -> Numbers:
        """The parameters of a trial; of one that runs, all that were drawn, needed or not."""
        kinds = dict(trial.distributions)
        for group in self._groups.search_spaces:
            kinds |= group
        params = self._get_params(trial, study)
        return {name: kinds[name].to_internal_repr(value) for name, value in params.items()}
