"""YOLOX and GFL at reduced width are trained; parts of a backbone can be kept as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.evaluate import evaluate
from detectors.training.train import fit
from searchspace import papers
from searchspace.augmentation import Augment
from searchspace.backbones import ResNet
from searchspace.heads import Distributions
from searchspace.necks import Pyramid
from searchspace.training import Frozen, TrainConfig

CPU = torch.device("cpu")
PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0)
History = list[dict[str, float]]


def reduced(name: str, width: float, input_size: int | tuple[int, int]) -> Detector:
    config = papers[name].trial.detector
    head = config.head.model_copy(update={"strides": None})
    small = {"input_size": input_size, "width": width, "num_classes": 4, "head": head}
    torch.manual_seed(0)
    return Detector(config.model_copy(update=small))


def trained(detector: Detector, split: Dataset, **recipe: object) -> History:
    settings = TrainConfig(
        **{"optimizer": "adamw", "batch_size": 8, "precision": "float32", "augment": PLAIN} | recipe
    )
    loader = TrainingLoader(split, settings, detector.config.input_size, seed=0)
    history: History = []
    fit(detector, loader, settings, on_epoch=lambda _, losses: history.append(losses))
    return history


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("yolox_tiny", {"boxes", "objectness", "classes"}),
        ("gfl_r50", {"boxes", "distributions", "classes"}),
    ],
)
def test_the_loss_falls(
    name: str, terms: set[str], precision: str, shapes: tuple[Dataset, Dataset]
) -> None:
    detector = reduced(name, 0.125, (64, 96))
    recipe = {"epochs": 10, "learning_rate": 0.01, "batch_size": 4, "precision": precision}
    history = trained(detector, shapes[0], **recipe)
    assert set(history[0]) == terms
    total = [sum(losses.values()) for losses in history]
    assert sum(total[-3:]) < 0.93 * sum(total[:3])
    assert not detector.training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "rate", "steps"),
    # SimOTA assigns points by the predictions, so YOLOX takes longer: after 200 steps, AP50 is
    # anywhere from 0.69 to 1, by the seed and by how sums are rounded.
    [("yolox_tiny", 0.25, 5e-3, 400), ("gfl_r50", 0.125, 0.01, 200)],
)
def test_eight_images_are_learned_by_heart(
    name: str, width: float, rate: float, steps: int, shapes: tuple[Dataset, Dataset]
) -> None:
    detector = reduced(name, width, 128)
    # All eight are one batch, so that batch norms see in training what they see in evaluation.
    trained(detector, shapes[0], epochs=steps, learning_rate=rate, batch_size=8)
    assert evaluate(detector, shapes[0], CPU).ap50 > 0.9


# ---- keeping parts of the backbone


@pytest.fixture
def resnet(make_detector: Callable[..., Detector]) -> Detector:
    return make_detector(
        width=0.125, backbone=ResNet(), neck=(Pyramid(),), head=Distributions(channels=64)
    )


def changed(before: dict[str, torch.Tensor], detector: Detector) -> set[str]:
    return {n for n, t in detector.state_dict().items() if not torch.equal(t, before[n])}


def test_frozen_rows_and_statistics_stay(resnet: Detector, shapes: tuple[Dataset, Dataset]) -> None:
    before = {name: t.clone() for name, t in resnet.state_dict().items()}
    frozen = Frozen(rows=3, statistics=True)
    trained(resnet, shapes[0], epochs=1, weights="imagenet", frozen=frozen, weight_decay=0.1)
    learned = changed(before, resnet)
    kept = ("backbone.stem", "backbone.pool", "backbone.res2")
    assert not [n for n in learned if n.startswith(kept)]
    assert not [n for n in learned if n.startswith("backbone") and "running" in n]
    names = [name for name, _ in resnet.backbone.named_parameters(prefix="backbone")]
    assert {name for name in names if not name.startswith(kept)} <= learned


def test_nothing_is_frozen_unless_asked_for(
    resnet: Detector, shapes: tuple[Dataset, Dataset]
) -> None:
    before = {name: t.clone() for name, t in resnet.state_dict().items()}
    resnet.backbone.freeze(Frozen(rows=6, statistics=True))
    trained(resnet, shapes[0], epochs=1)
    backbone = {name for name in before if name.startswith("backbone")}
    assert backbone <= changed(before, resnet)


def test_the_mode_of_frozen_norms_is_always_eval(resnet: Detector) -> None:
    def learning() -> set[str]:
        modules = resnet.backbone.named_modules()
        norms = {n: m for n, m in modules if isinstance(m, nn.BatchNorm2d)}
        return {name.split(".")[0] for name, norm in norms.items() if norm.training}

    resnet.train()
    assert learning() == {"stem", "res2", "res3", "res4", "res5"}
    resnet.backbone.freeze(Frozen(rows=3))
    assert learning() == {"res3", "res4", "res5"}
    assert learning() == (resnet.eval().train() and learning())
    resnet.backbone.freeze(Frozen(rows=1, statistics=True))
    assert learning() == set()
    assert resnet.head.training
    resnet.backbone.freeze(Frozen())
    assert learning() == {"stem", "res2", "res3", "res4", "res5"}
    assert all(p.requires_grad for p in resnet.parameters())


@pytest.mark.parametrize(("name", "learning"), [("gfl_r50", 32_215_193), ("gfl_r101", 51_207_321)])
def test_gfls_recipe_freezes_as_many_parameters_as_published(name: str, learning: int) -> None:
    trial = papers[name].trial
    with torch.device("meta"):
        detector = Detector(trial.detector)
    detector.backbone.freeze(trial.train.frozen)
    counts = {
        kept: sum(p.numel() for p in detector.parameters() if p.requires_grad == (not kept))
        for kept in (False, True)
    }
    assert counts == {False: learning, True: 225_344}
