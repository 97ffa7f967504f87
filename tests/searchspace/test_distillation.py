from __future__ import annotations

import optuna
import pytest
from optuna.trial import FixedTrial
from pydantic import ValidationError

from searchspace import Space, TrainConfig, TrialConfig, load_space, papers, suggest, to_params
from searchspace.compression import CompressConfig, Slimming
from searchspace.distillation import PARENT, ChannelWise, Logits, NoDistillation

TRAINED = "train.distillation"


@pytest.mark.parametrize(
    ("distillation", "params"),
    [
        (NoDistillation(), {}),
        (
            ChannelWise(location="both", temperature=2.5, weight=20.0),
            {"location": "both", "temperature": 2.5, "weight": 20.0},
        ),
        (Logits(temperature=3.0, weight=0.2), {"temperature": 3.0, "weight": 0.2}),
    ],
)
def test_a_lesson_is_drawn_by_the_parameters_of_its_kind_alone(
    distillation: ChannelWise | Logits | NoDistillation, params: dict[str, object]
) -> None:
    drawn = to_params(CompressConfig(pruning=Slimming(distillation=distillation)))
    path = "pruning.slimming.distillation."
    found = {n.removeprefix(path): value for n, value in drawn.items() if n.startswith(path)}
    kind = distillation.kind
    assert found == {"kind": kind, **{f"{kind}.{name}": value for name, value in params.items()}}


def test_a_drawn_lesson_comes_back_from_its_parameters() -> None:
    space = Space("x", {}).fix("compress.pruning.kind", "slimming")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    kinds = set()
    for _ in range(30):
        trial = study.ask()
        config = space.suggest(trial)
        kinds.add(config.compress.pruning.distillation.kind)
        assert suggest(FixedTrial(trial.params), TrialConfig, space.domains) == config
        assert config.train.distillation == NoDistillation()
        assert TrialConfig.model_validate_json(config.model_dump_json()) == config
    assert kinds == {"none", "channel_wise", "logits"}


def test_the_quick_space_draws_no_lesson() -> None:
    assert not [path for path, _ in load_space("quick").searched() if "distillation" in path]


def test_a_space_names_the_teacher_of_a_plain_training() -> None:
    space = Space("x", {}).fix(f"{TRAINED}.kind", "channel_wise")
    space = space.fix(f"{TRAINED}.channel_wise.teacher", "runs/teacher")
    config = space.suggest(optuna.create_study().ask())
    assert config.train.distillation.teacher == "runs/teacher"
    searched = {path for path, _ in space.searched() if path.startswith(TRAINED)}
    names = ("location", "temperature", "weight")
    assert searched == {f"{TRAINED}.channel_wise.{name}" for name in names}


@pytest.mark.parametrize("kind", [ChannelWise, Logits])
def test_a_training_has_no_parent(kind: type[ChannelWise | Logits]) -> None:
    assert kind().teacher == PARENT
    with pytest.raises(ValidationError, match="give the folder of a saved detector"):
        TrainConfig(distillation=kind())
    assert TrainConfig(distillation=kind(teacher="runs/teacher")).distillation.teacher


@pytest.mark.parametrize(
    "fields", [{"weight": 0}, {"temperature": 0}, {"teacher": ""}, {"location": "head"}]
)
def test_a_lesson_that_teaches_nothing_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        ChannelWise(**fields)


def test_the_thesis_teaches_by_the_detectors_of_other_runs() -> None:
    taught = {name: system.teacher for name, system in papers.items() if system.teacher}
    assert taught == {
        "yolox_tiny_distilled": "yolox_s_teacher",
        "gfl_r50_distil_1": "gfl_r101_teacher",
        "gfl_r50_distil_2": "gfl_r101_teacher_copy_paste",
        "gfl_r50_distil_3": "gfl_r101_teacher",
    }
    for name, teacher in taught.items():
        lesson = papers[name].trial.train.distillation
        assert lesson == ChannelWise(teacher=teacher, location="classes", temperature=1, weight=5)
        assert papers[teacher].trial.train.distillation == NoDistillation()


@pytest.mark.parametrize("place", ["train", "compress.pruning"])
def test_logits_are_refused_where_the_number_of_priors_changes(place: str) -> None:
    several = {"multi_scale": {"smallest": 0.5, "largest": 1.0}}
    lesson = {"kind": "logits", "teacher": "somewhere"}
    train = several | ({"distillation": lesson} if place == "train" else {})
    pruning = {"kind": "slimming", "distillation": lesson} if place != "train" else {"kind": "none"}
    fields = {"train": train, "compress": {"pruning": pruning}}
    with pytest.raises(ValidationError, match=rf"{place}\.distillation logits.*channel_wise"):
        TrialConfig.model_validate(fields)
    del train["multi_scale"]
    TrialConfig.model_validate(fields)
