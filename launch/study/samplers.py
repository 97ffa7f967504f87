"""What proposes the next configuration of a search. What there is is known without Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from searchspace.errors import InputError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

MakeSampler = Callable[[int], "BaseSampler"]
"""From a seed to a sampler of Optuna for two or more objectives over a conditional space.

It is made once for each run of a search, and asked with the study's whole history. Trials that
ended before their training are PRUNED in it, with the constraints that they broke: a sampler that
sees COMPLETE alone learns nothing of these. Of one seed and history it makes the same proposals.
"""

SAMPLERS: dict[str, MakeSampler] = {}
"""By name; `register_sampler` adds one from any module."""

STARTUP_TRIALS = 8
"""Random proposals before a model is asked."""

POPULATION = 16
"""Of the genetic samplers: a search of a few hundred trials has no room for Optuna's 50."""


def register_sampler(name: str) -> Callable[[MakeSampler], MakeSampler]:
    """Make a function from a seed to a sampler known by a name, as a decorator.

    Raises:
        ValueError: there is another sampler of that name.
    """

    def register(make: MakeSampler) -> MakeSampler:
        known = SAMPLERS.setdefault(name, make)
        if (known.__module__, known.__qualname__) != (make.__module__, make.__qualname__):
            raise InputError(
                f"sampler {name!r} of {make.__module__}.{make.__qualname__}: {known.__module__}."
                f"{known.__qualname__} has this name; give yours another one"
            )
        SAMPLERS[name] = make
        return make

    return register


def known_sampler(name: str) -> str:
    """The name of a sampler; raises ValueError where there is none of that name."""
    if name not in SAMPLERS:
        raise InputError(f"sampler {name!r}: choose from {', '.join(SAMPLERS)}")
    return name


Sampler = Annotated[str, AfterValidator(known_sampler)]
"""The name of a sampler, as settings store it."""


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler of a name; raises ValueError where there is none."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[known_sampler(name)](seed)


def usual_sampler(judged_early: bool) -> str:
    """The sampler of a search that names none, by `benchmarks.search.compare`.

    Args:
        judged_early: designs may end before their training, by a constraint or the gate. `gp`
            learns nothing of those, and would propose their like again and again.
    """
    return "tpe" if judged_early else "gp"


@register_sampler("tpe")
def tpe(seed: int) -> BaseSampler:
    """Multivariate over groups of parameters that occur together."""
    from optuna.samplers import TPESampler

    return TPESampler(multivariate=True, group=True, n_startup_trials=STARTUP_TRIALS, seed=seed)


@register_sampler("gp")
def gaussian_process(seed: int) -> BaseSampler:
    """A Gaussian process over the parameters that every trial has, with TPE for those that exist
    under a choice only."""
    from optuna.samplers import GPSampler

    return GPSampler(
        seed=seed,
        n_startup_trials=STARTUP_TRIALS,
        independent_sampler=tpe(seed),
        warn_independent_sampling=False,
    )


@register_sampler("nsga2")
def nsga2(seed: int) -> BaseSampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=POPULATION)


@register_sampler("nsga3")
def nsga3(seed: int) -> BaseSampler:
    from optuna.samplers import NSGAIIISampler

    return NSGAIIISampler(seed=seed, population_size=POPULATION)


@register_sampler("random")
def random(seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)
