from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from launch.constraints import constraints_from
from launch.study import samplers
from launch.study.bounded import SEEN, Bounded, Points, chosen
from launch.study.handover import Handover
from launch.study.samplers import SAMPLERS, STARTUP_TRIALS, make_sampler, register_sampler
from launch.study.tpe import GroupedTPE
from searchspace import Space
from tests.documents import example
from tests.launch.made_up import settings_for


def propose(name: str, space: Space, seed: int, trials: int, objectives: int = 2) -> list[dict]:
    """Parameters of a study of made-up objectives that exclude each other."""
    study = optuna.create_study(
        directions=["maximize"] * objectives, sampler=make_sampler(name, seed)
    )
    for number in range(trials):
        trial = study.ask()
        config = space.suggest(trial)
        assert space.holds(config)
        side, cells = config.detector.input_size, config.detector.head.priors.cells
        if number % 4 == 3:  # as one that ended before its training
            trial.set_constraint("params <= 1", 0.5)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, [side / 96 + cells / 10, -math.log(side), -cells][:objectives])
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


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_takes_three_objectives(name: str, space: Space) -> None:
    assert len(propose(name, space, 0, STARTUP_TRIALS + 2, objectives=3)) == STARTUP_TRIALS + 2


@pytest.fixture
def own_sampler() -> Iterator[None]:
    exec(example("A sampler"), {"__name__": "example_of_a_sampler"})
    yield
    del SAMPLERS["spread_tpe"]


def test_one_of_a_users_module_is_a_sampler_like_others(own_sampler: None, space: Space) -> None:
    test_each_draws_from_a_conditional_space_the_same_for_the_same_seed("spread_tpe", space)
    test_each_takes_three_objectives("spread_tpe", space)
    assert settings_for(space, trials=1, sampler="spread_tpe").sampler == "spread_tpe"
    with pytest.raises(ValueError, match=r"sampler 'tpe' of .*other: launch.study.samplers.tpe"):

        @register_sampler("tpe")
        def other(seed: int) -> BaseSampler:
            return optuna.samplers.RandomSampler(seed=seed)


def test_without_a_name_it_is_one_that_learns_of_what_ends_early(space: Space) -> None:
    bounds = constraints_from({"min_fps": 30.0})
    assert settings_for(space, trials=1).sampler == "gp"
    assert settings_for(space, trials=1, gate=True).sampler == "tpe"
    assert settings_for(space, trials=1, constraints=bounds).sampler == "tpe"
    assert settings_for(space, gate=True, sampler="gp", trials=1).sampler == "gp"


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(ValueError, match="sampler 'grid': choose from tpe, gp"):
        make_sampler("grid", 0)


def frozen(number: int, state: TrialState, *values: float, **constraints: float) -> FrozenTrial:
    trial = create_trial(state=state, values=values or None, constraints=constraints)
    trial.number = number
    return trial


def test_a_model_is_fitted_to_the_best_and_the_latest_trials() -> None:
    done, lost, runs = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING
    trials = [
        frozen(0, done, 9.0, 1.0),  # on the front: the first objective is to grow, the second not
        frozen(1, done, 8.0, 2.0),
        frozen(2, done, 10.0, 0.0, broken=1.0),  # better, but infeasible
        frozen(3, done, 1.0, 0.5),  # on the front
        *(frozen(number, done, 0.0, 5.0) for number in range(4, 30)),
        *(frozen(number, lost) for number in range(30, 40)),
        *(frozen(number, runs) for number in range(40, 50)),
    ]
    found = chosen(trials, 12, [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE], Points())
    assert found == {0, 1, 3, *range(34, 40), *range(47, 50)}
    assert len(found) == 12


def propose_in_parallel(sampler: BaseSampler, space: Space, trials: int) -> list[dict]:
    """Parameters of a study in which three trials run at any time, and the oldest ends."""
    study = optuna.create_study(directions=["maximize"] * 2, sampler=sampler)
    running: list[optuna.Trial] = []
    for number in range(trials):
        trial = study.ask()
        config = space.suggest(trial)
        trial.set_user_attr("values", [config.detector.input_size / 96, -config.detector.width])
        running.append(trial)
        if len(running) > 3:
            oldest = running.pop(0)
            if number % 4 == 3:
                oldest.set_constraint("params <= 1", 0.5)
                study.tell(oldest, state=TrialState.PRUNED)
            else:
                study.tell(oldest, oldest.user_attrs["values"])
    return [trial.params for trial in study.trials]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_tpe_proposes_what_optunas_own_does_and_represents_each_trial_once(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = TPESampler(multivariate=True, group=True, n_startup_trials=STARTUP_TRIALS, seed=1)
    counts: Counter[tuple[int, bool]] = Counter()
    numbers_of = GroupedTPE._numbers_of

    def counted(sampler: GroupedTPE, trial: FrozenTrial, study: optuna.Study) -> dict[str, float]:
        counts[trial.number, trial.state == TrialState.RUNNING] += 1
        return numbers_of(sampler, trial, study)

    monkeypatch.setattr(GroupedTPE, "_numbers_of", counted)
    ours = propose_in_parallel(make_sampler("tpe", 1), space, 30)
    assert ours == propose_in_parallel(own, space, 30)
    assert set(counts.values()) == {1}
    assert len(counts) > 40


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_proposals_of_a_long_search_depend_on_its_history_alone(
    name: str, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplers, "MODELLED", 10)
    monkeypatch.setattr(samplers, "DRAWS", 12)
    counts = []
    own = Bounded._view
    monkeypatch.setattr(
        Bounded,
        "_view",
        lambda *given: counts.append(len(own(*given).get_trials(states=SEEN))) or own(*given),
    )
    first = propose(name, space, 0, 16)
    assert first == propose(name, space, 0, 16)
    assert max(counts) == 10


def test_draws_after_the_first_ones_are_anothers() -> None:
    one, other = (optuna.samplers.RandomSampler(seed=seed) for seed in (1, 2))
    study = optuna.create_study(sampler=Handover(one, other, draws=3))
    found = [study.ask().suggest_float("x", 0, 1) for _ in range(6)]
    alone = []
    for seed in (1, 2):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        alone += [study.ask().suggest_float("x", 0, 1) for _ in range(3)]
    assert found == alone
