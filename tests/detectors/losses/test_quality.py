from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from detectors.losses import distribution_focal_losses, quality_focal_losses


def test_hard_labels_give_the_focal_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(50, 7, generator=generator)
    labels = (torch.rand(50, 7, generator=generator) < 0.3).float()
    focal = sigmoid_focal_loss(logits, labels, alpha=-1, gamma=2)
    assert torch.allclose(quality_focal_losses(logits, labels), focal, atol=1e-6)


@pytest.mark.parametrize(
    ("score", "quality", "loss"),
    [
        # |y - s|^2 * -(y ln s + (1 - y) ln(1 - s))
        (0.5, 0.3, 0.2**2 * math.log(2)),
        (0.8, 0.5, 0.3**2 * -(0.5 * math.log(0.8) + 0.5 * math.log(0.2))),
        (0.25, 1.0, 0.75**2 * math.log(4)),
        (0.25, 0.0, 0.25**2 * math.log(4 / 3)),
        (0.6, 0.6, 0.0),
    ],
)
def test_quality_focal_by_hand(score: float, quality: float, loss: float) -> None:
    logits = torch.tensor([math.log(score / (1 - score))], requires_grad=True)
    losses = quality_focal_losses(logits, torch.tensor([quality]))
    assert losses.item() == pytest.approx(loss, abs=1e-7)
    losses.sum().backward()
    # Scores are pulled to their quality, and stay there.
    pull = logits.grad.item()
    assert abs(pull) < 1e-6 if score == quality else pull * (score - quality) > 1e-3


def test_extreme_scores_have_finite_losses_and_gradients() -> None:
    logits = torch.tensor([-1e4, 1e4, -1e4, 1e4], requires_grad=True)
    losses = quality_focal_losses(logits, torch.tensor([0.0, 1.0, 1.0, 0.0]))
    assert losses.tolist() == pytest.approx([0, 0, 1e4, 1e4])
    losses.sum().backward()
    assert logits.grad.isfinite().all()


def test_whole_distances_give_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(17, 17, generator=generator)
    bins = torch.arange(17)
    expected = functional.cross_entropy(logits, bins, reduction="none")
    assert torch.allclose(distribution_focal_losses(logits, bins.float()), expected, atol=1e-6)


def test_distribution_focal_by_hand() -> None:
    even = torch.zeros(4, 17)
    distances = torch.tensor([0.0, 3.7, 8.5, 16.0])
    assert distribution_focal_losses(even, distances).tolist() == pytest.approx([math.log(17)] * 4)
    # Chances 1/4, 1/2, 1/8, 1/8 of 0, 1, 2, 3; a distance of 1.25 is learned as 3/4 and 1/4.
    logits = torch.tensor([0.25, 0.5, 0.125, 0.125]).log()
    loss = distribution_focal_losses(logits, torch.tensor(1.25))
    assert loss.item() == pytest.approx(0.75 * math.log(2) + 0.25 * math.log(8))


@pytest.mark.parametrize("distance", [0.0, 0.3, 7.9, 15.5, 15.999, 16.0])
def test_the_least_loss_has_the_distance_as_its_mean(distance: float) -> None:
    left = min(int(distance), 15)
    chances = torch.full((17,), 1e-9)
    chances[left] += left + 1 - distance
    chances[left + 1] += distance - left
    logits = chances.log().requires_grad_()
    assert (logits.softmax(0) * torch.arange(17)).sum().item() == pytest.approx(distance, abs=1e-5)
    distribution_focal_losses(logits, torch.tensor(distance)).backward()
    assert logits.grad.abs().max() < 1e-5


def test_distances_beyond_the_bins_are_moved_to_the_nearest() -> None:
    logits = torch.arange(17.0).expand(4, 17)
    beyond = distribution_focal_losses(logits, torch.tensor([-3.0, -1e-6, 16.1, 400.0]))
    inside = distribution_focal_losses(logits, torch.tensor([0.0, 0.0, 16.0, 16.0]))
    assert beyond.equal(inside)
