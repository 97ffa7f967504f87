from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from detectors.features import Predictions
from detectors.heads import PointsHead
from detectors.losses import yolox_losses
from detectors.matching import Objects
from searchspace import DetectorConfig
from searchspace.heads import Points
from searchspace.training import SmallObjects

CONFIG = DetectorConfig(input_size=(64, 128), num_classes=3, width=0.25, neck=(), head=Points())
"""Maps of 4x8 and 2x4 cells, of strides 16 and 32."""

COUNT = 4 * 8 + 2 * 4


@pytest.fixture
def head() -> PointsHead:
    torch.manual_seed(0)
    return PointsHead(CONFIG)


def predictions(batch: int = 2) -> Predictions:
    generator = torch.Generator().manual_seed(1)
    shapes = ((batch, COUNT, 4), (batch, COUNT, 3), (batch, COUNT))
    return Predictions(*(torch.randn(shape, generator=generator) for shape in shapes))


def test_boxes_come_from_the_corner_of_the_cell_in_strides(head: PointsHead) -> None:
    made = predictions()
    boxes = head.boxes_of(made) * torch.tensor([128, 64, 128, 64])
    for point, row, column, stride in ((0, 0, 0, 16), (8 + 3, 1, 3, 16), (32 + 4 + 2, 1, 2, 32)):
        x, y, w, h = made.boxes[1, point].tolist()
        centre = ((x + column) * stride, (y + row) * stride)
        sides = (math.exp(w) * stride, math.exp(h) * stride)
        low = [c - s / 2 for c, s in zip(centre, sides, strict=True)]
        high = [c + s / 2 for c, s in zip(centre, sides, strict=True)]
        assert boxes[1, point].tolist() == pytest.approx(low + high, rel=1e-4)


def test_scores_are_classes_times_objectness(head: PointsHead) -> None:
    made = predictions()
    scores = head.scores_of(made)
    assert scores.shape == (2, COUNT, 3)
    expected = 1 / (1 + made.classes.neg().exp()) / (1 + made.objectness.neg().exp())[..., None]
    assert torch.allclose(scores, expected)


def test_losses_are_those_in_pixels_of_the_input(head: PointsHead) -> None:
    made, small = predictions(), SmallObjects(weight=2.0)
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.9]], [[0.5, 0.5, 0.6, 0.7]]])
    labels, yes = torch.tensor([[1], [3]]), torch.ones(2, 1, dtype=torch.bool)
    objects = Objects(boxes=boxes, labels=labels, small=yes, valid=yes)
    losses = head.losses(made, objects, small)
    pixels = torch.tensor([128.0, 64, 128, 64])
    in_pixels = Objects(boxes=boxes * pixels, labels=labels, small=yes, valid=yes)
    points = head.priors * pixels
    assert points[0].tolist() == pytest.approx([8, 8, 16, 16])
    assert points[-1].tolist() == pytest.approx([112, 48, 32, 32])
    raw = (head.boxes_of(made) * pixels, made.classes, made.objectness)
    expected = yolox_losses(*raw, points, in_pixels, small)
    assert losses.keys() == expected.keys()
    assert all(torch.allclose(losses[name], expected[name]) for name in losses)


def test_a_new_head_gives_every_class_and_object_one_in_a_hundred(head: PointsHead) -> None:
    for conv in (*head.classes, *head.objectness):
        nn.init.zeros_(conv.weight)
    made = head([torch.rand(1, 128, 4, 8), torch.rand(1, 256, 2, 4)])
    assert made.classes.sigmoid().unique().tolist() == pytest.approx([0.01])
    assert head.scores_of(made).max().item() == pytest.approx(0.0001)


def test_levels_have_weights_of_their_own_and_classes_a_tower(head: PointsHead) -> None:
    maps = [torch.rand(1, 128, 4, 8), torch.rand(1, 256, 2, 4)]
    head.eval()
    before = head(maps)
    nn.init.zeros_(head.class_towers[1][-1][0].weight)
    after = head(maps)
    assert torch.equal(before.boxes, after.boxes)
    assert torch.equal(before.objectness, after.objectness)
    assert torch.equal(before.classes[:, :32], after.classes[:, :32])
    assert not torch.equal(before.classes[:, 32:], after.classes[:, 32:])


def test_plain_epochs_add_the_distance_of_the_coded_boxes(head: PointsHead) -> None:
    made = predictions(batch=1)
    yes = torch.ones(1, 1, dtype=torch.bool)
    objects = Objects(torch.tensor([[[0.1, 0.2, 0.5, 0.9]]]), torch.tensor([[1]]), yes, yes)
    usual, last = (head.losses(made, objects, SmallObjects(), plain) for plain in (False, True))
    assert last.keys() - usual.keys() == {"coded"}
    assert all(torch.equal(last[name], value) for name, value in usual.items())
    assert last["coded"] > 0
