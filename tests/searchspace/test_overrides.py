"""Fields of a configuration set by `PATH=VALUE`."""

from __future__ import annotations

import pytest

from searchspace import TrialConfig, papers
from searchspace.compression import Slimming
from searchspace.distillation import ChannelWise
from searchspace.errors import InputError
from searchspace.overrides import overridden, sets

MFSSD = papers["mfssd"].trial


def test_every_system_is_the_same_where_nothing_changes() -> None:
    for name, system in papers.items():
        assert overridden(system.trial, ["seed=0"]) == system.trial, name


def test_numbers_texts_items_and_objects_are_set() -> None:
    settings = [
        "train.epochs=2", "train.schedule.kind=cosine", "detector.neck.0.sources.1.channels=128",
        'compress.pruning={"kind": "slimming"}', "compress.pruning.ratio=0.3",
        "train.distillation.kind=channel_wise", "train.distillation.channel_wise.teacher=runs/a",
    ]  # fmt: skip
    config = overridden(MFSSD, settings)
    assert config.train.epochs == 2
    assert config.detector.neck[0].sources[1].channels == 128
    assert config.compress.pruning == Slimming(ratio=0.3)
    assert config.train.distillation == ChannelWise(teacher="runs/a")
    assert config.train.batch_size == MFSSD.train.batch_size
    assert sets(settings, "train.epochs")
    assert not sets(settings, "train")


def test_settings_that_need_each_other_go_together() -> None:
    settings = ["train.epochs=10", "train.plain_epochs=3"]
    with pytest.raises(InputError, match="plain_epochs: 15 of 10 epochs"):
        overridden(papers["yolox_tiny"].trial, settings[:1])
    train = overridden(papers["yolox_tiny"].trial, settings).train
    assert (train.epochs, train.plain_epochs) == (10, 3)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("train.epochs=-1", "train.epochs is -1, but must be 1 or more"),
        ("train.epochs=many", "train.epochs is 'many', but must be an integer"),
        ("train.learning_rate=NaN", "train.learning_rate is nan"),
        ("train.epoch=2", "no field train.epoch; the nearest one is train.epochs"),
        ("detector.neck.9.grow=1", "no field detector.neck.9.grow; the nearest one is"),
        ("seed.x=1", "no field seed.x; the nearest one is seed"),
        ("compress.pruning.kind=slim", "did you mean 'slimming'?"),
        (
            'compress.pruning={"kind": "slimming", "rato": 1}',
            "the nearest one is compress.pruning.slimming.ratio",
        ),
        ("epochs", "write PATH=VALUE"),
        ("=2", "write PATH=VALUE"),
    ],
)
def test_a_bad_setting_names_path_value_and_what_would_do(setting: str, expected: str) -> None:
    with pytest.raises(InputError) as error:
        overridden(MFSSD, [setting])
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_of_several_settings_the_message_names_the_one_at_fault() -> None:
    with pytest.raises(InputError) as error:
        overridden(MFSSD, ["seed=7", "train.epochs=0"])
    assert str(error.value) == "train.epochs is 0, but must be 1 or more"


def test_a_trial_without_settings_is_itself() -> None:
    config = TrialConfig()
    assert overridden(config, []) is config
