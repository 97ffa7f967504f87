from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from detectors.detector import Detector
from detectors.features import Predictions
from detectors.heads import DistributionsHead
from detectors.losses import gfl_losses
from detectors.matching import Objects
from detectors.narrow import narrow
from searchspace import DetectorConfig
from searchspace.backbones import MobileNetV1
from searchspace.heads import Distributions
from searchspace.necks import Pyramid
from searchspace.training import SmallObjects

CONFIG = DetectorConfig(
    input_size=(64, 128),
    num_classes=3,
    width=0.125,
    backbone=MobileNetV1(),
    neck=(Pyramid(),),
    head=Distributions(bins=9),
)
"""Maps of 4x8 and 2x4 cells, of strides 16 and 32; 32 channels."""

COUNT = 4 * 8 + 2 * 4
MAPS = ((1, 32, 4, 8), (1, 32, 2, 4))


@pytest.fixture
def head() -> DistributionsHead:
    torch.manual_seed(0)
    return DistributionsHead(CONFIG)


def predictions(batch: int = 2) -> Predictions:
    generator = torch.Generator().manual_seed(1)
    boxes = torch.randn(batch, COUNT, 4, 9, generator=generator)
    return Predictions(boxes, torch.randn(batch, COUNT, 3, generator=generator))


def test_a_side_is_the_expectation_of_its_distribution_in_strides(head: DistributionsHead) -> None:
    made = predictions()
    boxes = head.boxes_of(made) * torch.tensor([128, 64, 128, 64])
    for point, row, column, stride in ((0, 0, 0, 16), (8 + 3, 1, 3, 16), (32 + 4 + 2, 1, 2, 32)):
        x, y = (column + 0.5) * stride, (row + 0.5) * stride
        sides = [
            sum(k * p for k, p in enumerate(logits.softmax(0).tolist())) * stride
            for logits in made.boxes[1, point]
        ]
        expected = [x - sides[0], y - sides[1], x + sides[2], y + sides[3]]
        assert boxes[1, point].tolist() == pytest.approx(expected, rel=1e-4)


def test_scores_are_those_of_the_classes_alone(head: DistributionsHead) -> None:
    made = predictions()
    assert torch.equal(head.scores_of(made), made.classes.sigmoid())


def test_losses_are_those_in_pixels_of_the_input(head: DistributionsHead) -> None:
    made, small = predictions(), SmallObjects(weight=2.0)
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.9]], [[0.5, 0.5, 0.6, 0.7]]])
    labels, yes = torch.tensor([[1], [3]]), torch.ones(2, 1, dtype=torch.bool)
    losses = head.losses(made, Objects(boxes, labels, yes, yes), small)
    pixels = torch.tensor([128.0, 64, 128, 64])
    expected = gfl_losses(
        head.boxes_of(made) * pixels,
        made.classes,
        made.boxes,
        head.priors * pixels,
        (32, 8),
        Objects(boxes * pixels, labels, yes, yes),
        small,
    )
    assert losses.keys() == expected.keys()
    assert all(torch.allclose(losses[name], expected[name]) for name in losses)


@torch.no_grad()
def test_a_scale_is_of_one_level_and_of_its_sides_alone(head: DistributionsHead) -> None:
    maps = [torch.rand(shape) for shape in MAPS]
    before = head(maps)
    head.scales[1].weight.fill_(3.0)
    after = head(maps)
    assert torch.equal(before.classes, after.classes)
    assert torch.equal(before.boxes[:, :32], after.boxes[:, :32])
    assert torch.allclose(3 * before.boxes[:, 32:], after.boxes[:, 32:])


@torch.no_grad()
def test_bins_of_a_side_lie_together(head: DistributionsHead) -> None:
    nn.init.zeros_(head.boxes.weight)
    head.boxes.bias.copy_(torch.arange(36))
    made = head([torch.rand(shape) for shape in MAPS]).boxes
    assert torch.equal(made[0, 5], torch.arange(36.0).reshape(4, 9))


@torch.no_grad()
def test_a_new_head_gives_every_class_one_in_a_hundred(head: DistributionsHead) -> None:
    nn.init.zeros_(head.classes.weight)
    made = head([torch.rand(shape) for shape in MAPS])
    assert made.classes.sigmoid().unique().tolist() == pytest.approx([0.01])


def test_groups_have_eight_channels(head: DistributionsHead) -> None:
    stock = DistributionsHead(CONFIG.model_copy(update={"width": 1.0}))
    for made, channels, groups in ((head, 32, 4), (stock, 256, 32)):
        norms = [m for m in made.modules() if isinstance(m, nn.GroupNorm)]
        assert len(norms) == 8
        assert {(norm.num_channels, norm.num_groups) for norm in norms} == {(channels, groups)}


def with_fewer_channels(detector: Detector, kept: list[int]) -> dict[str, torch.Tensor]:
    """The tensors of a detector whose first class convolution keeps some channels."""
    tensors = dict(detector.state_dict())
    for name in ("0.0.weight", "0.1.weight", "0.1.bias"):
        tensors[f"head.class_tower.{name}"] = tensors[f"head.class_tower.{name}"][kept]
    following = "head.class_tower.1.0.weight"
    tensors[following] = tensors[following][:, kept]
    return tensors


@torch.no_grad()
def test_a_narrowed_group_norm_is_saved_and_loaded(tmp_path: Path) -> None:
    detector = Detector(CONFIG).eval()
    tensors = with_fewer_channels(detector, [k for k in range(32) if k % 8 < 6])
    narrow(detector, {name: tuple(t.shape) for name, t in tensors.items()})
    detector.load_state_dict(tensors)
    norm = detector.head.class_tower[0][1]
    assert (norm.num_channels, norm.num_groups) == (24, 4)
    batch = torch.rand(1, 3, 64, 128)
    loaded = Detector.load(detector.save(tmp_path))
    assert torch.equal(loaded.predict(batch).classes, detector.predict(batch).classes)


def test_channels_that_do_not_divide_into_the_groups_are_refused() -> None:
    detector = Detector(CONFIG)
    shapes = {n: tuple(t.shape) for n, t in with_fewer_channels(detector, list(range(30))).items()}
    with pytest.raises(ValueError, match=r"head\.class_tower\.0\.1: 30 channels in 4 groups"):
        narrow(detector, shapes)


def test_autocast_does_not_round_distances(head: DistributionsHead) -> None:
    predictions = head([torch.randn(shape) for shape in MAPS])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = head.boxes_of(predictions)
    torch.testing.assert_close(rounded, head.boxes_of(predictions), rtol=0, atol=0)
