from __future__ import annotations

import math

import optuna
import pytest

from launch.constraints import constraints_from
from launch.study.samplers import SAMPLERS, STARTUP_TRIALS, make_sampler
from searchspace import Space
from tests.launch.made_up import settings_for


def propose(name: str, space: Space, seed: int, trials: int) -> list[dict]:
    """Parameters of a study of two made-up objectives that exclude each other."""
    study = optuna.create_study(
        directions=["maximize", "maximize"], sampler=make_sampler(name, seed)
    )
    for _ in range(trials):
        trial = study.ask()
        config = space.suggest(trial)
        side, cells = config.detector.input_size, config.detector.head.priors.cells
        study.tell(trial, [side / 96 + cells / 10, -math.log(side)])
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_draws_from_a_conditional_space_the_same_for_the_same_seed(
    name: str, space: Space
) -> None:
    trials = STARTUP_TRIALS + 4
    first = propose(name, space, 0, trials)
    assert first == propose(name, space, 0, trials)
    assert first != propose(name, space, 1, trials)
    pruned = {params["compress.pruning.kind"] for params in first}
    assert len(pruned) > 1
    assert all(
        ("compress.pruning.slimming.ratio" in p) == (p["compress.pruning.kind"] == "slimming")
        for p in first
    )


def test_without_a_name_it_is_one_that_learns_of_what_ends_early(space: Space) -> None:
    bounds = constraints_from({"min_fps": 30.0})
    assert settings_for(space, trials=1).sampler == "gp"
    assert settings_for(space, trials=1, gate=True).sampler == "tpe"
    assert settings_for(space, trials=1, constraints=bounds).sampler == "tpe"
    assert settings_for(space, gate=True, sampler="gp", trials=1).sampler == "gp"


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(ValueError, match="sampler 'grid': choose from tpe, gp"):
        make_sampler("grid", 0)
