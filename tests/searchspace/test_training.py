from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from searchspace import load_space, papers
from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.errors import InputError
from searchspace.geometry import InputSize
from searchspace.overrides import overridden
from searchspace.schedules import Cosine, Steps
from searchspace.training import TrainConfig


def test_the_stock_recipe_is_the_plain_one() -> None:
    stock = TrainConfig()
    assert stock.schedule == Cosine(floor=0)
    assert stock.ema is None
    assert stock.multi_scale.sizes(300) == (300,)
    assert not stock.copy_paste.active
    assert stock.augment.mosaic == 0
    assert stock.warmup(50) == 50


def test_warm_up_is_given_in_epochs_or_in_steps() -> None:
    assert TrainConfig(warmup_epochs=2.5).warmup(10) == 25
    assert TrainConfig(warmup_epochs=2.5, warmup_steps=500).warmup(10) == 500
    assert TrainConfig(warmup_steps=0).warmup(10) == 0


@pytest.mark.parametrize(
    ("input_size", "smallest", "largest", "sizes"),
    [
        (416, 320 / 416, 640 / 416, tuple(range(320, 641, 32))),
        (640, 0.75, 1.25, tuple(range(480, 801, 32))),
        (300, 0.8, 1.2, (268, 300, 332)),
        (300, 1, 1.2, (300, 332)),
        ((128, 192), 0.5, 1.25, ((64, 96), (96, 128), (128, 192), (160, 256))),
        ((192, 128), 0.75, 1, ((128, 96), (192, 128))),
        ((96, 64), 0.5, 1, (32, (96, 64))),
    ],
)
def test_input_sizes(
    input_size: InputSize, smallest: float, largest: float, sizes: tuple[InputSize, ...]
) -> None:
    assert MultiScale(smallest=smallest, largest=largest).sizes(input_size) == sizes


def test_a_range_without_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no other size.*smallest to 0\.893 or less"):
        MultiScale(smallest=0.95, largest=1.05).sizes(300)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nesterov": True, "optimizer": "adamw"}, "nesterov: optimizer 'adamw'"),
        ({"nesterov": True, "momentum": 0}, "momentum above 0"),
        (
            {"augment": Augment(mosaic=0.5), "plain_epochs": 10, "epochs": 10},
            "plain_epochs: 10 of 10",
        ),
        ({"schedule": {"kind": "steps", "milestones": (0.5, 0.5)}}, "milestones must rise"),
        ({"schedule": {"kind": "steps", "milestones": (8, 11)}}, "less than 1"),
        ({"schedule": {"kind": "cosine", "factor": 0.1}}, "Extra inputs"),
        ({"augment": {"mosaic_scale": (1.5, 0.5)}}, r"mosaic_scale: \[1.5, 0.5\] is not a range"),
        ({"ema": 1.0}, "less than 1"),
        ({"copy_paste": {"copies": 4}}, "less than or equal to 3"),
        ({"copy_paste": {"source": "polygon"}}, "'mask', 'box' or 'mask_or_box'"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**fields)


def test_a_recipe_survives_json() -> None:
    recipe = TrainConfig(
        epochs=300,
        schedule=Steps(milestones=(0.5, 0.75), factor=0.2),
        nesterov=True,
        ema=0.9998,
        plain_epochs=15,
        warmup_steps=500,
        augment=Augment(mosaic=1.0, mosaic_scale=(0.1, 2)),
        copy_paste=CopyPaste(copies=3, pastes=2, probability=0.5, source="box", rotation=0),
        multi_scale=MultiScale(smallest=0.75, largest=1.25, every=5),
    )
    assert TrainConfig.model_validate_json(recipe.model_dump_json()) == recipe


def test_batch_size_auto_keeps_the_recipes_number(tmp_path: Path) -> None:
    """However it is given: it is the memory that limits the parts of a batch, not the batch."""
    gfl = papers["gfl_r50"].trial
    file = tmp_path / "mine.toml"
    file.write_text('extends = "quick"\n[train]\nbatch_size = "auto"\n')
    found = (
        TrainConfig.model_validate({"batch_size": "auto"}),
        gfl.train.changed(batch_size="auto"),
        overridden(gfl, ["train.batch_size=auto"]).train,
        load_space(file).baseline().train,
    )
    assert [(recipe.batch_size, recipe.accumulate) for recipe in found] == [
        (32, "auto"), (16, "auto"), (16, "auto"), (8, "auto")
    ]  # fmt: skip
    for recipe in found:
        assert TrainConfig.model_validate_json(recipe.model_dump_json()) == recipe
    with pytest.raises(InputError, match=r'accumulate "auto": .* give a number here'):
        _ = found[0].parts
    assert found[0].changed(accumulate=1).cause() == TrainConfig().cause()
