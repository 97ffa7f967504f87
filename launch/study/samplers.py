"""Samplers, which propose configurations. Their names are known without importing Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from searchspace.errors import InputError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

MakeSampler = Callable[[int], "BaseSampler"]
"""Makes an Optuna sampler from a seed, for one or more objectives over a conditional space.

It is called once per run of a search, and the sampler gets the study's whole history. Trials that
ended before training are PRUNED in it, with the constraints that they violated: a sampler that only
uses COMPLETE ones learns nothing from these. The same seed and history give the same proposals.
"""

SAMPLERS: dict[str, MakeSampler] = {}
"""By name; `register_sampler` adds one from any module."""

STARTUP_TRIALS = 8
"""Random draws before a model is used."""

MODELLED = 250
"""The most trials that TPE looks at, see `launch.study.bounded`; by `benchmarks.scale`."""

DRAWS = 150
"""Draws of Gaussian processes, after which TPE takes over; by `benchmarks.scale`."""

POPULATION = 16
"""Population of the genetic samplers: Optuna's 50 is too many for a few hundred trials."""


def register_sampler(name: str) -> Callable[[MakeSampler], MakeSampler]:
    """Register a function from a seed to a sampler under a name, as a decorator.

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
    """A sampler's name, checked; raises ValueError if it is unknown."""
    if name not in SAMPLERS:
        raise InputError(f"sampler {name!r}: choose from {', '.join(SAMPLERS)}")
    return name


Sampler = Annotated[str, AfterValidator(known_sampler)]
"""The name of a sampler in settings."""


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler with a name; raises ValueError if it is unknown."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[known_sampler(name)](seed)


def usual_sampler(judged_early: bool) -> str:
    """The default sampler, by `benchmarks.search.compare`.

    Args:
        judged_early: whether designs may end before training, by a constraint or the gate. `gp`
            learns nothing from those, and would propose similar ones repeatedly.
    """
    return "tpe" if judged_early else "gp"


@register_sampler("tpe")
def tpe(seed: int) -> BaseSampler:
    """Multivariate TPE over groups of parameters that occur together."""
    from launch.study.bounded import Bounded
    from launch.study.tpe import GroupedTPE

    return Bounded(GroupedTPE(seed, STARTUP_TRIALS), MODELLED)


@register_sampler("gp")
def gaussian_process(seed: int) -> BaseSampler:
    """A Gaussian process over the parameters that every trial has, with TPE for conditional
    ones, and for all once there are so many trials that a proposal takes seconds."""
    from optuna.samplers import GPSampler

    from launch.study.handover import Handover

    then = tpe(seed)
    own = GPSampler(
        seed=seed,
        n_startup_trials=STARTUP_TRIALS,
        independent_sampler=then,
        warn_independent_sampling=False,
    )
    return Handover(own, then, DRAWS)


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
