from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from detectors.detector import Detector
from detectors.runtimes.fold import folded
from searchspace.backbones import CSPDarknet, MobileNetV1, ResNet
from searchspace.heads import Distributions, Points
from searchspace.necks import Aggregate, Pyramid
from tests.contracts.systems import CONFIGS, EVEN, built, images, narrow
from tests.networks import raw, with_statistics

SYSTEMS = {
    "ssd": {"backbone": MobileNetV1(eliminated_strides=(6,))},
    "yolox": {"backbone": CSPDarknet(), "neck": (Aggregate(),), "head": Points()},
    "gfl": {"backbone": ResNet(), "neck": (Pyramid(),), "head": Distributions()},
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_folding_keeps_the_predictions_and_leaves_the_original_alone(
    name: str, make_detector: Callable[..., Detector]
) -> None:
    detector = make_detector(**SYSTEMS[name], width=0.125)
    for norm in detector.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(-0.5, 0.5)
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.5, 2.0)
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    detector.train()
    fast = folded(detector)
    assert detector.training
    assert not fast.training
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fast.modules())
    assert all(torch.equal(before[name], t) for name, t in detector.state_dict().items())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        wanted, given = detector.eval().predict(images), fast.predict(images)
    torch.testing.assert_close(given.boxes, wanted.boxes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(given.classes, wanted.classes, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["ssd_vgg16_s1l2", "mdssd320_r101", "yolox_tiny", "gfl_r50"])
def test_every_family_is_folded(name: str) -> None:
    detector = with_statistics(built(narrow(CONFIGS[name], EVEN)))
    fast = folded(detector)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fast.modules())
    batch = images(detector.config)
    for found, expected in zip(raw(fast.predict(batch)), raw(detector.predict(batch)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
