"""Every system learns: ten steps lower its loss, and some learn a few images by heart."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from statistics import mean

import pytest
import torch

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.evaluate import evaluate
from detectors.training.train import fit
from launch.trial.run import pick_device
from searchspace import DetectorConfig, TrainConfig, papers
from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.schedules import RateFactors
from tests.contracts.systems import EVEN, narrow
from tests.shared import shared_data

pytestmark = pytest.mark.slow

COCO_CLASSES = 80
AS_THEY_ARE = Augment(photometric=0, zoom_out=0, crop=0, flip=0)


@pytest.fixture(scope="module")
def split() -> Dataset:
    return shared_data("coco_mini")[0]


def first(split: Dataset, count: int, least: float = 0) -> Dataset:
    """The first images of a split without an object narrower than `least` pixels, nor a crowd."""

    def suits(image: ImageRecord) -> bool:
        return not any(
            a.iscrowd or min(a.box[2] - a.box[0], a.box[3] - a.box[1]) < least
            for a in split.annotations[image.id]
        )

    images = [image for image in split.images if suits(image)][:count]
    assert len(images) == count
    return replace(split, images=tuple(images))


def train(
    config: DetectorConfig, recipe: TrainConfig, few: Dataset, device: torch.device
) -> tuple[Detector, list[float]]:
    """A detector trained on the same batch again and again, and its losses before each step."""
    losses: list[float] = []
    torch.manual_seed(0)
    loader = TrainingLoader(few, recipe, config.input_size, seed=0)
    assert len(loader) == 1
    detector = fit(
        Detector(config).to(device),
        loader,
        recipe,
        on_epoch=lambda epoch, terms: losses.append(sum(terms.values())),
    )
    return detector, losses


# ---- ten steps


def ten_steps(recipe: TrainConfig) -> TrainConfig:
    """The paper's optimiser and rates, for ten steps on one batch as it is."""
    changes = {
        "epochs": 10, "batch_size": 4, "warmup_epochs": 0, "weights": "none",
        "warmup_steps": None, "augment": AS_THEY_ARE, "multi_scale": MultiScale(), "ema": None,
        "copy_paste": CopyPaste(), "rates": RateFactors(),
    }  # fmt: skip
    return recipe.model_copy(update=changes)


SYSTEMS: dict[tuple[DetectorConfig, TrainConfig], list[str]] = defaultdict(list)
"""The distinct papers' systems at an eighth of the width, with their names."""
for _name, _system in papers.items():
    _small = narrow(_system.trial.detector, EVEN, num_classes=COCO_CLASSES)
    SYSTEMS[_small, ten_steps(_system.trial.train)].append(_name)


@pytest.mark.parametrize(
    ("config", "recipe"),
    [
        # MDSSD at 300 pixels has no smaller form: an eighth of its levels go eight times down.
        pytest.param(*key, id="+".join(names), marks=[pytest.mark.slow] * (key[0].input_size > 192))
        for key, names in SYSTEMS.items()
    ],
)
def test_ten_steps_lower_the_loss(
    config: DetectorConfig, recipe: TrainConfig, split: Dataset
) -> None:
    _, losses = train(config, recipe, first(split, 4), torch.device("cpu"))
    assert len(losses) == 10
    assert mean(losses[-3:]) < losses[0]


# ---- learned by heart


BY_HEART = (
    "ssd300_vgg16",
    "fssd300",
    "ssd_vgg16_s1l2_dualpath",
)
ON_CPU, ON_GPU = 0.25, 1.0
"""Widths: a GPU has room for the whole detector."""


@pytest.mark.parametrize("name", BY_HEART)
def test_eight_images_of_coco_are_learned_by_heart(name: str, split: Dataset) -> None:
    device = pick_device()
    few = first(split, 8, least=16)
    width = ON_GPU if device.type == "cuda" else ON_CPU
    config = narrow(papers[name].trial.detector, (160,), width, COCO_CLASSES)
    recipe = TrainConfig(
        epochs=120,
        # All eight are one batch, so that batch norms see in training what they see later.
        batch_size=8,
        optimizer="adamw",
        learning_rate=1e-3,
        warmup_epochs=10,
        augment=AS_THEY_ARE,
    )
    detector, _ = train(config, recipe, few, device)
    assert evaluate(detector, few, device).ap50 > 0.9
