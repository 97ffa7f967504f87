"""Every configuration says itself, and says different things where it differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo

from searchspace import CompressConfig, MeasureConfig, TrialConfig
from searchspace.augmentation import CopyPaste
from searchspace.backbones import BACKBONES
from searchspace.compression import Int8
from searchspace.config import Config
from searchspace.distillation import ChannelWise
from searchspace.domains import Choice, FloatRange, IntRange
from searchspace.heads import HEADS
from searchspace.neck_forms import NECK_FORMS
from searchspace.necks import NECK_STEPS
from searchspace.necks.growth import Extend, L2Norm
from searchspace.priors import PRIOR_RULES, LevelRule
from searchspace.schedules import Steps
from tests.contracts.members import classes, fields, held_by, sample

USUAL = (L2Norm, Extend)
"""Steps of which nothing is said: nearly every neck has them."""

PRUNING = {"scope", "round_to", "floor", "finetune_epochs", "finetune_rate"}
UNSAID: dict[str, set[str]] = {
    "TrialConfig": {"seed"},
    "DetectorConfig": {"num_classes", "pixels"},
    **{name: {"second_path"} for name in ("MobileNetV1", "VGG16", "ResNet", "CSPDarknet")},
    "Fuse": {"at", "norm", "norm_sources"},
    "Deconvolve": {"scale"},
    "Join": {"side", "feeds_growth"},
    "Split": {"side"},
    "Aggregate": {"most", "blocks"},
    "Points": {"channels", "depth", "postprocess"},
    "Distributions": {"channels", "depth", "bins", "postprocess"},
    "TrainConfig": {
        "epochs", "batch_size", "optimizer", "learning_rate", "momentum", "nesterov",
        "weight_decay", "warmup_epochs", "plain_epochs", "max_gradient", "precision",
        "accumulate", "tf32", "compile",
    },
    "Multibox": {"initial"},
    "Augment": {
        "mosaic_rotation", "mosaic_shear", "mosaic_translation", "mixup", "photometric",
        "zoom_out", "max_zoom", "crop", "flip", "min_side",
    },
    "MultiScale": {"every"},
    "SmallObjects": {"offset"},
    "Steps": {"factor"},
    "Unpruned": {"finetune_epochs", "finetune_rate"},
    "Slimming": {*PRUNING, "sparsity"},
    "ImportancePruning": {*PRUNING, "steps"},
    "Int8": {"images"},
    **{name: {"visible", "with_objects"} for name in ("TileGrid", "TileSize")},
    "MeasureConfig": {
        "precision", "threads", "candidates", "runs", "passes", "interval", "seconds", "metrics",
    },
}  # fmt: skip
"""Fields of which nothing is said: descriptions have room for what tells trials apart at a glance.
The precision of a measurement is said beside a runtime."""

CLASSES = [cls for cls in classes() if cls not in USUAL]


def literals(annotation: Any) -> list[Any]:
    """The values of all Literals in a type, and both of a bool."""
    if annotation is bool:
        return [False, True]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for argument in get_args(annotation) for value in literals(argument)]


def values(info: FieldInfo, value: Any) -> Iterator[Any]:
    """Values that a field may have, the one given among them: of Literals and unions all."""
    yield value
    yield from literals(info.annotation)
    for cls in held_by(info.annotation, info.metadata):
        if cls not in USUAL:
            yield (sample(cls),) if isinstance(value, tuple) else sample(cls)
    for mark in info.metadata:
        if isinstance(mark, Choice) and not held_by(info.annotation, info.metadata):
            yield from mark.options
        elif isinstance(mark, FloatRange | IntRange):
            yield from (mark.low, mark.high)
    if isinstance(value, float):
        yield value / 2 + 0.1
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value + 1


def said(config: Config, name: str, info: FieldInfo) -> list[str]:
    """What a configuration says with each distinct value of a field."""
    distinct: list[Any] = []
    for value in values(info, getattr(config, name)):
        distinct += [value] if value not in distinct else []
    return [config.model_copy(update={name: value}).in_words() for value in distinct]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_value_of_a_field_says_something_else(cls: type[Config]) -> None:
    config, unsaid = sample(cls), set()
    for name, info in fields(cls):
        texts = said(config, name, info)
        assert not any("\n" in text or text != text.strip() for text in texts)
        unsaid |= {name} if len(set(texts)) < len(texts) else set()
    assert unsaid == UNSAID.get(cls.__name__, set())


def test_the_walk_meets_every_registered_class_and_every_part_of_a_trial() -> None:
    members = [*NECK_STEPS, *NECK_FORMS, *BACKBONES, *HEADS, *PRIOR_RULES]
    assert set(members) <= {*CLASSES, *USUAL}
    assert {Steps, ChannelWise, Int8, CopyPaste, LevelRule, MeasureConfig} <= set(CLASSES)
    assert UNSAID.keys() <= {cls.__name__ for cls in CLASSES}


def test_a_class_that_says_nothing_of_its_own_names_its_kind_and_what_differs() -> None:
    class Part(Config):
        size: float = 1.0

    class Mine(Config):
        kind: Literal["my_step"] = "my_step"
        heads: int = 4
        levels: tuple[int, ...] = ()
        norm: bool = True
        limit: float | None = 0.5
        part: Part = Part()
        parts: tuple[Part, ...] = Field(default_factory=tuple)

    assert Mine().in_words() == "my step"
    other = Mine(
        heads=2, levels=(0, 2), norm=False, limit=None, part=Part(size=0.25), parts=(Part(),)
    )
    assert other.in_words() == (
        "my step (heads 2, levels 0+2, no norm, no limit, part size 0.25, parts as usual)"
    )


def test_what_quantises_is_said_in_place_of_what_measures() -> None:
    measure = MeasureConfig(runtime="openvino", precision="bfloat16")
    assert TrialConfig(measure=measure).in_words().endswith(", run by openvino in bfloat16")
    quantised = TrialConfig(measure=measure, compress=CompressConfig(quantisation=Int8()))
    assert quantised.in_words().endswith(" px, int8 by openvino")
