from __future__ import annotations

import optuna
import pytest
import torch
from torch import Tensor

from detectors.describe import count_macs, count_params, describe
from detectors.detector import Detector
from searchspace import DetectorConfig, TrialConfig, papers, suggest
from searchspace.backbones import MobileNetV1
from searchspace.domains import Choice
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors
from tests.networks import without_gradient

SIZES = Choice(64, 96, 128, 224, 300, 512)
WIDTHS = Choice(0.1, 0.25, 0.5, 0.75, 1.0, 1.5)
SMALL = {"detector.input_size": Choice(64, 96), "detector.width": Choice(0.25)}


def draws(count: int, **domains: object) -> list[DetectorConfig]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=7))
    return [suggest(study.ask(), TrialConfig, domains).detector for _ in range(count)]


CONFIGS = {
    f"draw {number}": config
    for number, config in enumerate(
        draws(30, **{"detector.input_size": SIZES, "detector.width": WIDTHS})
    )
}


@pytest.mark.parametrize("name", CONFIGS)
def test_declared_levels_are_the_real_maps(name: str) -> None:
    config = CONFIGS[name]
    with torch.device("meta"):
        detector = Detector(config)
        batch = torch.empty(2, 3, config.input_size, config.input_size)
    behind_backbone = config.stages()[0]
    features = detector.backbone(batch)
    real = [tuple(map_.shape[1:]) for map_ in (*features.maps, features.top)]
    declared = [(x.channels, *x.size) for x in (*behind_backbone.maps, behind_backbone.top)]
    assert real == declared
    outputs = detector.outputs(batch)
    levels = [(2, x.channels, *x.size) for x in config.levels()]
    assert [tuple(map_.shape) for map_ in outputs.maps] == levels
    predictions = outputs.predictions
    count = sum(
        x.cells * p.boxes_per_cell for x, p in zip(config.levels(), config.priors(), strict=True)
    )
    assert detector.head.priors.shape == (count, 4)
    assert predictions.boxes.shape == (2, count, 4)
    assert predictions.classes.shape == (2, count, 1 + config.num_classes)


@pytest.mark.parametrize("config", draws(6, **SMALL), ids=str)
def test_every_parameter_gets_a_gradient(config: DetectorConfig) -> None:
    torch.manual_seed(0)
    batch = torch.rand(4, 3, config.input_size, config.input_size)
    assert without_gradient(Detector(config), batch) == []


def shapes_of(config: DetectorConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: t.shape for name, t in Detector(config).state_dict().items()}


def test_strides_and_priors_leave_weight_shapes_alone() -> None:
    stock = shapes_of(papers["ssdmnetv1"].trial.detector)
    backbones = [MobileNetV1(eliminated_strides=s) for s in ((), (0,), (4, 6), (2, 12))]
    scales = [ScaledPriors(cells=c) for c in (1.25, 3.75)]
    same = [
        shapes_of(DetectorConfig(backbone=backbone, head=Multibox(priors=priors)))
        for backbone in backbones[:3]
        for priors in scales
    ]
    assert all(shapes == same[0] for shapes in same)
    for backbone in backbones:
        shapes = shapes_of(DetectorConfig(backbone=backbone, head=Multibox(priors=scales[0])))
        assert {n: s for n, s in shapes.items() if n.startswith("backbone")} == {
            n: s for n, s in stock.items() if n.startswith("backbone")
        }


def by_hand(detector: Detector) -> int:
    """Multiply-accumulates from the shapes that each convolution really sees."""
    total = 0

    def count(conv: torch.nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * conv.weight[0].numel()

    for module in detector.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    side = detector.config.input_size
    detector.predict(torch.rand(1, 3, side, side))
    return total


def test_counting_leaves_the_detector_as_it_was() -> None:
    config = draws(1, **SMALL)[0]
    detector = Detector(config).train()
    before = {name: t.clone() for name, t in detector.state_dict().items()}
    described = describe(config)
    assert count_macs(detector) == described.macs
    assert count_params(detector) == described.params
    assert detector.training
    assert all(torch.equal(t, before[name]) for name, t in detector.state_dict().items())
    assert by_hand(detector.eval()) == described.macs
