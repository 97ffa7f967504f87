"""Checks before anything is trained: each by itself, then of trials and spaces."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detectors.data.dataset import Dataset
from detectors.data.records import Annotation
from launch.trial import preconditions
from launch.trial.data import TrialData, TrialError
from launch.trial.given_teacher import with_teacher
from launch.trial.preconditions import FAULTS, check_fits, check_objects, check_space
from launch.trial.run import run_trial
from searchspace import Space, TrialConfig, load_space, space_names
from searchspace.augmentation import CopyPaste, MultiScale
from searchspace.domains import Choice, Fixed, IntRange


def changed(split: Dataset, change: Callable[[Annotation], Annotation | None]) -> Dataset:
    """A split with other annotations; those that become None are removed."""
    found = {
        key: tuple(new for a in items if (new := change(a)) is not None)
        for key, items in split.annotations.items()
    }
    return dataclasses.replace(split, annotations=found)


def of_images(split: Dataset, count: int) -> Dataset:
    images = split.images[:count]
    return dataclasses.replace(
        split, images=images, annotations={i.id: split.annotations[i.id] for i in images}
    )


def maskless(data: TrialData) -> TrialData:
    train = changed(data.train, lambda a: dataclasses.replace(a, segmentation=None))
    return dataclasses.replace(data, train=train)


def minute(data: TrialData) -> TrialData:
    """All training objects a fifth of a pixel wide."""

    def shrunk(item: Annotation) -> Annotation:
        x, y = item.box[:2]
        return dataclasses.replace(item, box=(x, y, x + 0.2, y + 0.2), area=0.04)

    return dataclasses.replace(data, train=changed(data.train, shrunk))


def same(data: TrialData) -> TrialData:
    return data


def recipe(config: TrialConfig, **fields: Any) -> TrialConfig:
    return config.changed(train=config.train.changed(**fields))


def built(config: TrialConfig, **fields: Any) -> TrialConfig:
    return config.changed(detector=config.detector.changed(**fields))


PASTING = CopyPaste(copies=1, source="mask")

TABLE: dict[str, tuple[Callable[..., TrialConfig], Callable[[TrialData], TrialData], str]] = {
    "_classes": (lambda c: built(c, num_classes=7), same, "num_classes is 7.* set it to 4"),
    "_pasting": (
        lambda c: recipe(c, copy_paste=PASTING), maskless, "copy_paste.source 'mask': none of",
    ),
    "_weights": (
        lambda c: recipe(built(c, width=1.0), weights="shapes"), same, "'shapes' are for width",
    ),
    "_input_sizes": (
        lambda c: recipe(c, multi_scale=MultiScale(smallest=0.9)), same, "there is no other size",
    ),
    "_batch_norm": (lambda c: recipe(c, batch_size=1), same, "train.batch_size is 1, but"),
    "_sizes_of_objects": (lambda c: c, minute, "are below 1 px.*detector\\.tiles"),
}  # fmt: skip
"""By fault: a configuration and data that have it, and what is said."""


def test_the_table_has_every_fault() -> None:
    assert set(TABLE) == {fault.__name__ for fault in FAULTS}


@pytest.mark.parametrize("name", TABLE)
def test_each_fault_is_found_alone_before_anything_is_trained(
    name: str, tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    change, damage, expected = TABLE[name]
    config, data = change(tiny), damage(shapes)
    assert {f.__name__ for f in FAULTS if f(config, data)} == {name}
    with pytest.raises(TrialError, match=expected):
        run_trial(config, data, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_fitting_configurations_pass(tiny: TrialConfig, shapes: TrialData) -> None:
    check_fits(tiny, shapes)
    check_objects(shapes, ("ap_small", "ap", "fps"))


@pytest.mark.parametrize("figure", ["ap", "ap50", "ap_small", "ar_small", "fps"])
def test_validation_data_without_objects_are_refused_whatever_the_objective(
    figure: str, tiny: TrialConfig, shapes: TrialData
) -> None:
    empty = dataclasses.replace(shapes, val=changed(shapes.val, lambda a: None))
    with pytest.raises(TrialError, match="the validation data have no object"):
        check_objects(empty, (figure,))
    with pytest.raises(TrialError, match="the validation data have no object"):
        check_fits(tiny, empty)
    crowds = changed(shapes.val, lambda a: dataclasses.replace(a, iscrowd=True))
    with pytest.raises(TrialError, match="the validation data have no object"):
        check_objects(dataclasses.replace(shapes, val=crowds), (figure,))


def test_small_objects_are_asked_for_where_a_figure_is_of_them(shapes: TrialData) -> None:
    large = changed(shapes.val, lambda a: dataclasses.replace(a, area=2000.0))
    data = dataclasses.replace(shapes, val=large)
    check_objects(data, ("ap", "fps"))
    for figure, label in (("ap_small", "AP_small"), ("ar_small", "AR_small")):
        with pytest.raises(TrialError, match=f"no objects below 32x32 pixels, so {label}"):
            check_objects(data, ("fps", figure))


def narrowed(space: Space, **domains: Any) -> Space:
    named = {name.replace("__", "."): domain for name, domain in domains.items()}
    return Space("mine", {**space.domains, **named})


@pytest.mark.parametrize(
    ("domains", "damage", "expected"),
    [
        (
            {"train__batch_size": Choice(8, 1)}, same,
            "space mine, train.batch_size = 1: train.batch_size is 1, but the batch norm",
        ),
        (
            {"train__batch_size": IntRange(1, 16)}, same,
            "space mine, train.batch_size = 1: train.batch_size is 1, but the batch norm",
        ),
        (
            {
                "train__copy_paste__source": Choice("box", "mask"),
                "train__copy_paste__copies": Fixed(1),
            },
            maskless,
            "space mine, train.copy_paste.source = 'mask': train.copy_paste.source 'mask': none",
        ),
        (
            {"train__weights": Fixed("shapes"), "detector__width": Choice(0.25, 1.0)}, same,
            "space mine, detector.width = 1.0: train.weights 'shapes' are for width",
        ),
        (
            {
                "detector__backbone__kind": Choice("mobilenet_v1", "vgg16"),
                "train__weights": Fixed("shapes"),
            },
            same,
            "space mine, detector.backbone.kind = 'vgg16'",
        ),
        ({"train__batch_size": Fixed(1)}, same, "no configuration of the space mine works"),
        ({}, minute, "no configuration of the space mine works"),
    ],
)  # fmt: skip
def test_an_option_that_nothing_works_with_is_refused_with_its_name(
    domains: dict[str, Any], damage: Callable[[TrialData], TrialData], expected: str,
    space: Space, shapes: TrialData,
) -> None:  # fmt: skip
    with pytest.raises(TrialError, match=re.escape(expected)):
        check_space(narrowed(space, **domains), damage(shapes))


def test_an_option_that_works_with_some_is_left_in(space: Space, shapes: TrialData) -> None:
    mixed = narrowed(
        space,
        train__weights=Choice("none", "shapes"),
        detector__width=Choice(0.25, 1.0),
        train__copy_paste__source=Choice("box", "mask"),
    )
    check_space(mixed, maskless(shapes))


@pytest.mark.parametrize("name", ["quick", "papers"])
def test_the_spaces_that_ship_fit_ordinary_data(name: str, shapes: TrialData) -> None:
    assert name in space_names()
    check_space(with_teacher(load_space(name), None).fix("detector.num_classes", 4), shapes)


def test_every_option_is_reached_also_below_a_kind(space: Space, shapes: TrialData) -> None:
    seen: set[tuple[str, Any]] = set()
    papers = with_teacher(load_space("papers"), None).fix("detector.num_classes", 4)
    original = preconditions._Draw.suggest_categorical

    def watched(self: Any, name: str, choices: list[Any]) -> Any:
        value = original(self, name, choices)
        seen.add((name, value))
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preconditions._Draw, "suggest_categorical", watched)
        check_space(papers, shapes)
    for path, domain in papers.searched():
        if isinstance(domain, Choice):
            assert {(path, domain.param(option)) for option in domain.options} <= seen


def test_one_training_image_is_trained_on(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    one = dataclasses.replace(shapes, train=of_images(shapes.train, 1))
    result = run_trial(tiny, one, tmp_path / "out", device="cpu")
    assert result.dense.metrics.ap is not None
