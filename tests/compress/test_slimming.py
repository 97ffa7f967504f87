from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.slimming import gates, sparsity_term
from detectors.detector import Detector
from searchspace import DetectorConfig
from searchspace.heads import Multibox, ScaledPriors


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    head = Multibox(priors=ScaledPriors())
    built = Detector(DetectorConfig(input_size=64, num_classes=2, width=0.25, head=head))
    for gate in gates(built).values():
        nn.init.normal_(gate.weight)
        gate.weight.data[0] = 0
    return built


def test_the_gates_are_the_batch_norms(detector: Detector) -> None:
    named = dict(detector.named_modules())
    found = gates(detector)
    assert all(named[name] is gate for name, gate in found.items())
    assert len(found) == sum(isinstance(m, nn.BatchNorm2d) for m in detector.modules()) > 27


@pytest.mark.parametrize("strength", [1e-4, 0.5])
def test_the_term_is_the_l1_norm_of_the_scales(detector: Detector, strength: float) -> None:
    images = torch.zeros(2, 3, 64, 64)
    (loss,) = sparsity_term(strength)(detector, images, detector.outputs(images)).values()
    total = sum(gate.weight.abs().sum().item() for gate in gates(detector).values())
    assert loss.item() == pytest.approx(strength * total, rel=1e-5)


@pytest.mark.parametrize("strength", [1e-4, 0.5])
def test_its_gradient_is_the_sign_and_reaches_the_gates_alone(
    detector: Detector, strength: float
) -> None:
    images = torch.zeros(2, 3, 64, 64)
    losses = sparsity_term(strength)(detector, images, detector.outputs(images))
    assert set(losses) == {"sparsity"}
    losses["sparsity"].backward()
    scales = {f"{name}.weight" for name in gates(detector)}
    for name, p in detector.named_parameters():
        if name in scales:
            assert torch.allclose(p.grad, strength * p.detach().sign())
            assert p.grad[0] == 0
        else:
            assert p.grad is None


def test_the_term_shrinks_scales_step_by_step(detector: Detector) -> None:
    optimizer = torch.optim.SGD(detector.parameters(), lr=1.0)
    before = {name: gate.weight.detach().clone() for name, gate in gates(detector).items()}
    images = torch.zeros(2, 3, 64, 64)
    sparsity_term(0.01)(detector, images, detector.outputs(images))["sparsity"].backward()
    optimizer.step()
    for name, gate in gates(detector).items():
        moved = before[name] - gate.weight.detach()
        assert torch.allclose(moved, 0.01 * before[name].sign(), atol=1e-6)
