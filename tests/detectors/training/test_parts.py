"""A batch computed in parts learns what the whole batch does."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from detectors.detector import Detector, padded_objects
from detectors.training.parts import in_parts
from searchspace import TrainConfig, papers
from tests.contracts.systems import EVEN, narrow


def built(name: str) -> Detector:
    torch.manual_seed(0)
    return Detector(narrow(papers[name].trial.detector, EVEN)).train()


def batch(detector: Detector, count: int) -> Tensor:
    return torch.rand(count, 3, *detector.config.size, generator=torch.Generator().manual_seed(1))


def gradients(detector: Detector, images: Tensor, parts: int) -> dict[str, Tensor]:
    """Of the detection loss; the first image has three objects, others one or none."""
    box = torch.tensor([[4.0, 4.0, 50.0, 40.0], [20.0, 30.0, 28.0, 38.0], [0.0, 0.0, 9.0, 60.0]])
    labels = torch.tensor([1, 2, 3])
    counts = [3, 1, 0, 1, 1][: len(images)]
    targets = [{"boxes": box[:count], "labels": labels[:count]} for count in counts]
    sides = [detector.config.size] * len(images)
    objects = padded_objects(targets, sides, detector.config.size)
    losses = detector.losses(in_parts(detector, images, parts), objects)
    torch.stack(list(losses.values())).sum().backward()
    return {n: p.grad for n, p in detector.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ["ssd300_vgg16", "gfl_r50"])
def test_parts_have_the_gradients_of_the_whole_batch(name: str) -> None:
    detector = built(name)
    if name == "gfl_r50":  # in training, its backbone's batch norms see a part
        detector.backbone.eval()
    images = batch(detector, 5)
    whole = gradients(copy.deepcopy(detector), images, 1)
    parts = gradients(detector, images, 2)
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        scale = gradient.abs().max()
        assert torch.allclose(parts[name], gradient, atol=1e-4 * scale, rtol=1e-3), name
    assert max(gradient.abs().max() for gradient in whole.values()) > 1e-3


def test_batch_norms_count_each_part_once() -> None:
    detector = built("ssdmnetv1_s1l0")
    images, by_hand = batch(detector, 4), copy.deepcopy(detector)
    gradients(detector, images, 2)
    with torch.no_grad():
        for part in images.split(2):
            by_hand.outputs(part)
    for name, tensor in by_hand.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            assert torch.allclose(detector.state_dict()[name], tensor, atol=1e-6), name


def test_a_part_has_two_images() -> None:
    with pytest.raises(ValueError, match=r"accumulate: 3 parts of a batch of 5 .* set it to 2"):
        TrainConfig(batch_size=5, accumulate=3)
    assert TrainConfig(batch_size=1).accumulate == 1
    detector = built("ssdmnetv1_s1l0")
    assert len(in_parts(detector, batch(detector, 3), 2).predictions.boxes) == 3
