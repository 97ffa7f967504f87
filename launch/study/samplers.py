"""What proposes the next configuration of a search."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import optuna
from optuna.samplers import BaseSampler

SamplerName = Literal["tpe", "gp", "nsga2", "nsga3", "random"]

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)

STARTUP_TRIALS = 8
"""Random proposals before a model is asked."""

POPULATION = 16
"""Of the genetic samplers: a search of a few hundred trials has no room for Optuna's 50."""


def usual_sampler(judged_early: bool) -> SamplerName:
    """The sampler of a search that names none, by `benchmarks.search.compare`.

    Args:
        judged_early: designs may end before their training, by a constraint or the gate. `gp`
            learns nothing of those, and would propose their like again and again.
    """
    return "tpe" if judged_early else "gp"


def make_sampler(name: SamplerName, seed: int) -> BaseSampler:
    """A sampler for two or more objectives over a conditional space.

    `tpe` is multivariate over groups of parameters that occur together, `gp` a Gaussian process
    over the parameters that every trial has, with `tpe` for those that exist under a choice only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "tpe":
                return _tpe(seed)
            case "gp":
                return optuna.samplers.GPSampler(
                    seed=seed,
                    n_startup_trials=STARTUP_TRIALS,
                    independent_sampler=_tpe(seed),
                    warn_independent_sampling=False,
                )
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION)
            case "nsga3":
                return optuna.samplers.NSGAIIISampler(seed=seed, population_size=POPULATION)
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
    raise ValueError(f"sampler {name!r}: choose from {', '.join(SAMPLERS)}")


def _tpe(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(
        multivariate=True, group=True, n_startup_trials=STARTUP_TRIALS, seed=seed
    )
