from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from detectors.losses import gfl_losses, weigh_small, yolox_losses
from detectors.matching import match_atss
from searchspace.training import SmallObjects

PUBLISHED = SmallObjects(weight=0.95, offset=0.05)
SMALL, OTHER = torch.tensor([True]), torch.tensor([False])


def slope(loss: Tensor, overlap: Tensor) -> float:
    return torch.autograd.grad(loss.sum(), overlap)[0].item()


def test_the_published_setting_on_squared_iou() -> None:
    iou = torch.tensor([0.5], requires_grad=True)
    loss = weigh_small(1 - iou**2, SMALL, PUBLISHED)
    assert loss.item() == pytest.approx(0.7625)
    assert loss.item() == pytest.approx((1 - 0.95 * iou**2).item())
    assert slope(loss, iou) == pytest.approx(-0.95)
    other = weigh_small(1 - iou**2, OTHER, PUBLISHED)
    assert (other.item(), slope(other, iou)) == (0.75, -1.0)


@pytest.mark.parametrize(("giou", "printed"), [(0.5, 0.525), (-0.5, 1.475), (1.0, 0.05)])
def test_the_published_setting_on_giou(giou: float, printed: float) -> None:
    overlap = torch.tensor([giou], requires_grad=True)
    loss = weigh_small(1 - overlap, SMALL, PUBLISHED)
    assert loss.item() == pytest.approx(printed)
    assert loss.item() == pytest.approx(1 - 0.95 * giou)
    assert slope(loss, overlap) == pytest.approx(-0.95)


def yolox(scene: object, small: SmallObjects) -> dict[str, Tensor]:
    return yolox_losses(
        scene.boxes,
        scene.classes,
        scene.objectness,
        scene.points,
        scene.objects,
        small_objects=small,
        coded=scene.coded,
    )


def gfl(scene: object, small: SmallObjects) -> dict[str, Tensor]:
    return gfl_losses(
        scene.boxes,
        scene.classes,
        scene.sides,
        scene.points,
        scene.counts,
        scene.objects,
        small_objects=small,
    )


@pytest.mark.parametrize(("losses", "factor"), [(yolox, 5.0), (gfl, 2.0)])
def test_the_box_loss_of_small_objects_changes_and_nothing_else(
    losses: Callable, factor: float, make_scene: Callable
) -> None:
    scene = make_scene(1)
    scene.objects.small.fill_(True)
    leaves = scene.leaves()
    even, small = losses(scene, SmallObjects()), losses(scene, SmallObjects(weight=2.5, offset=0.3))
    assert small["boxes"].item() == pytest.approx(2.5 * even["boxes"].item() + 0.3 * factor)
    assert {n: x.item() for n, x in small.items() if n != "boxes"} == {
        n: x.item() for n, x in even.items() if n != "boxes"
    }
    before, after = (torch.autograd.grad(x["boxes"], leaves[0])[0] for x in (even, small))
    assert torch.allclose(after, 2.5 * before)
    assert before.any()

    scene.objects.small.fill_(False)
    other = losses(scene, SmallObjects(weight=2.5, offset=0.3))
    assert other["boxes"].item() == even["boxes"].item()


def test_only_the_boxes_of_small_objects_get_other_gradients(make_scene: Callable) -> None:
    scene = make_scene(2)
    boxes = scene.leaves()[0]
    even, heavy = (
        torch.autograd.grad(gfl(scene, SmallObjects(weight=w))["boxes"], boxes)[0]
        for w in (1.0, 4.0)
    )
    anchors = scene.points * torch.tensor([1, 1, 8, 8])
    matches = match_atss(anchors, scene.counts, scene.objects)
    small = scene.objects.small.gather(1, matches.clamp(min=0)) & (matches >= 0)
    assert torch.allclose(heavy[small], 4 * even[small])
    assert heavy[~small].equal(even[~small])
    assert even[small].any()
    assert even[~small].any()


@pytest.mark.parametrize("losses", [yolox, gfl])
def test_the_offset_does_not_train(losses: Callable, make_scene: Callable) -> None:
    scene = make_scene(3)
    leaves = scene.leaves()[:3]
    gradients = [
        torch.autograd.grad(
            sum(losses(scene, SmallObjects(offset=c)).values()), leaves, allow_unused=True
        )
        for c in (0.0, 7.0)
    ]
    for free, offset in zip(*gradients, strict=True):
        assert (free is None and offset is None) or free.equal(offset)
