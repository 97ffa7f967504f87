"""The papers' recipes: lengths in iterations, starts, and rates of new parts."""

from __future__ import annotations

import pytest

from searchspace import TrainConfig, papers
from searchspace.papers import on_coco
from searchspace.papers.fssd import OTHER_STARTS
from searchspace.papers.system import COCO_IMAGES, VOC_IMAGES, in_iterations
from searchspace.schedules import RateFactors, Steps

HALF_AN_EPOCH = {VOC_IMAGES: VOC_IMAGES / 64, COCO_IMAGES: COCO_IMAGES / 64}
"""In iterations of 32 images, by the size of the data."""


def iterations(recipe: TrainConfig, images: int) -> list[float]:
    """After how many iterations on so many images the rate falls, and the training ends."""
    assert isinstance(recipe.schedule, Steps)
    assert recipe.schedule.factor == 0.1
    end = recipe.epochs * images / recipe.batch_size
    return [*(share * end for share in recipe.schedule.milestones), end]


PRINTED = [
    ("ssd300_vgg16", VOC_IMAGES, (80_000, 100_000, 120_000)),
    ("ssd512_vgg16", COCO_IMAGES, (280_000, 360_000, 400_000)),
    ("fssd300", VOC_IMAGES, (80_000, 100_000, 120_000)),
    ("fssd300", COCO_IMAGES, (280_000, 360_000, 400_000)),
    ("fssd512", VOC_IMAGES, (80_000, 100_000, 120_000)),
    ("fssd512", COCO_IMAGES, (280_000, 320_000, 360_000)),
    ("fssd300s", COCO_IMAGES, (280_000, 360_000, 400_000)),
    ("fssd300_from_ssd", VOC_IMAGES, (40_000, 50_000, 60_000)),
    ("fssd300_from_ssd", COCO_IMAGES, (84_000, 108_000, 120_000)),
    ("mdssd512", COCO_IMAGES, (280_000, 360_000, 400_000)),
]


@pytest.mark.parametrize(("name", "images", "expected"), PRINTED)
def test_a_training_is_as_long_as_printed(
    name: str, images: int, expected: tuple[int, ...]
) -> None:
    trial = papers[name].trial if images == VOC_IMAGES else on_coco(name)
    found = iterations(trial.train, images)
    assert found == pytest.approx(expected, abs=HALF_AN_EPOCH[images])
    assert trial.train.learning_rate == 1e-3


def test_mfssd_has_one_recipe_for_both() -> None:
    assert on_coco("mfssd").train == papers["mfssd"].trial.train
    assert on_coco("mfssd").train.epochs == 300


def test_iterations_become_epochs_of_the_batch_and_the_images() -> None:
    recipe = in_iterations(TrainConfig(batch_size=8), 50, 100, images=200)
    assert (recipe.epochs, recipe.schedule) == (4, Steps(milestones=(0.5,)))


def test_other_starts_are_the_same_systems_with_another_start() -> None:
    detectors = {papers[name].trial.detector for name in papers.keys() - OTHER_STARTS.keys()}
    for name, system in OTHER_STARTS.items():
        assert system.trial.detector in detectors
        assert system.trial.train.weights != "imagenet"
        assert system.needs == (() if system.start is None else (system.start,)), name
    fusion = RateFactors(new=2)
    for system in (papers["fssd300_from_ssd"].trial, on_coco("fssd300_from_ssd")):
        assert system.train.rates == fusion
    assert papers["fssd300_from_ssd"].start == "ssd300_vgg16"
    assert on_coco("fssd300_from_ssd").train.start == "ssd300_vgg16@coco"
    assert papers["fssd300s"].start is None
    assert papers["fssd512_from_coco"].trial.train.rates == RateFactors()
