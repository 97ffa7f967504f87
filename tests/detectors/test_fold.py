from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from detectors.detector import Detector
from detectors.fold import folded
from searchspace.backbones import CSPDarknet, MobileNetV1, ResNet
from searchspace.heads import Distributions, Points
from searchspace.necks import Aggregate, Pyramid

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
