from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou, generalized_box_iou, sigmoid_focal_loss

from detectors.losses import gfl_losses
from detectors.matching import Objects, match_atss
from searchspace.training import SmallObjects

SMALL = SmallObjects(weight=1.7, offset=0.2)


def losses_of(scene: object, **changes: object) -> dict[str, Tensor]:
    inputs = {
        "boxes": scene.boxes,
        "classes": scene.classes,
        "sides": scene.sides,
        "points": scene.points,
        "counts": scene.counts,
        "objects": scene.objects,
        "small_objects": SMALL,
    }
    return gfl_losses(**(inputs | changes))


def matches_of(scene: object) -> Tensor:
    anchors = scene.points * torch.tensor([1, 1, 8, 8])
    return match_atss(anchors, scene.counts, scene.objects)


def side_loss(logits: Tensor, distance: float) -> float:
    """Distribution focal loss of one side."""
    left = min(int(distance), 15)
    log_chances = logits.log_softmax(0).tolist()
    right = distance - left
    return -(1 - right) * log_chances[left] - right * log_chances[left + 1]


def by_loops(scene: object) -> dict[str, float]:
    """Section 7.2, point by point."""
    matches = matches_of(scene)
    classes = boxes = distributions = weights = 0.0
    for image, row in enumerate(matches.tolist()):
        for point, number in enumerate(row):
            scores = scene.classes[image, point].sigmoid()
            quality = [0.0] * len(scores)
            if number >= 0:
                box, wanted = scene.boxes[image, point], scene.objects.boxes[image, number]
                label = scene.objects.labels[image, number].item()
                quality[label - 1] = box_iou(box[None], wanted[None]).item()
                weight = scores.max().item()
                weights += weight
                loss = 1 - generalized_box_iou(box[None], wanted[None]).item()
                small = scene.objects.small[image, number]
                boxes += weight * (1.7 * loss + 0.2 if small else loss)
                x, y, stride, _ = scene.points[point].tolist()
                x1, y1, x2, y2 = wanted.tolist()
                distances = [d / stride for d in (x - x1, y - y1, x2 - x, y2 - y)]
                sides = zip(scene.sides[image, point], distances, strict=True)
                distributions += weight * sum(side_loss(*side) for side in sides) / 4
            for score, wish in zip(scores.tolist(), quality, strict=True):
                entropy = -wish * math.log(score) - (1 - wish) * math.log(1 - score)
                classes += abs(wish - score) ** 2 * entropy
    assert weights > 1
    return {
        "classes": classes / int((matches >= 0).sum()),
        "boxes": 2 * boxes / weights,
        "distributions": 0.25 * distributions / weights,
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_that_of_loops(seed: int, make_scene: Callable) -> None:
    scene = make_scene(seed)
    values = {name: term.item() for name, term in losses_of(scene).items()}
    assert values == pytest.approx(by_loops(scene), rel=1e-4)


def one_object(score: float) -> dict[str, object]:
    """One point on a level of its own, with the upper half of its object predicted."""
    valid = torch.tensor([[True]])
    return {
        "boxes": torch.tensor([[[0.0, 0.0, 16.0, 8.0]]]),
        "classes": torch.tensor([[[math.log(score / (1 - score)), -100.0]]]),
        "sides": torch.zeros(1, 1, 4, 17),
        "points": torch.tensor([[4.0, 4.0, 8.0, 8.0]]),
        "counts": (1,),
        "objects": Objects(torch.tensor([[[0.0, 0, 16, 16]]]), valid.long(), valid, valid),
    }


def test_by_hand() -> None:
    losses = gfl_losses(**one_object(score=0.8))
    quality = 0.3**2 * -(0.5 * math.log(0.8) + 0.5 * math.log(0.2))
    assert losses["classes"].item() == pytest.approx(quality)
    # GIoU is the IoU 1/2, for the object is the box around both. The sum of weights is below 1.
    assert losses["boxes"].item() == pytest.approx(2 * 0.8 * 0.5)
    assert losses["distributions"].item() == pytest.approx(0.25 * 0.8 * math.log(17))
    published = SmallObjects(weight=0.95, offset=0.05)
    small = gfl_losses(**one_object(score=0.8), small_objects=published)
    assert small["boxes"].item() == pytest.approx(2 * 0.8 * (1 - 0.95 * 0.5))


def test_without_objects_all_scores_learn_zero(make_scene: Callable) -> None:
    scene = make_scene(0)
    o = scene.objects
    nothing = Objects(o.boxes, torch.zeros_like(o.labels), o.small, torch.zeros_like(o.valid))
    boxes, classes, _, _, sides = scene.leaves()
    losses = losses_of(scene, objects=nothing)
    focal = sigmoid_focal_loss(classes, torch.zeros_like(classes), alpha=-1, gamma=2).sum().item()
    values = {name: term.item() for name, term in losses.items()}
    assert values == pytest.approx({"classes": focal, "boxes": 0, "distributions": 0})
    sum(losses.values()).backward()
    assert classes.grad.isfinite().all()
    assert classes.grad.all()
    assert not boxes.grad.any()
    assert not sides.grad.any()


def test_gradients_are_finite_and_boxes_of_positives_get_them(make_scene: Callable) -> None:
    scene = make_scene(1)
    boxes, classes, _, _, sides = scene.leaves()
    losses = losses_of(scene)
    sum(losses.values()).backward()
    positive = matches_of(scene) >= 0
    assert boxes.grad.any(-1).equal(positive)
    assert sides.grad.flatten(2).any(-1).equal(positive)
    assert all(leaf.grad.isfinite().all() for leaf in (boxes, classes, sides))


def test_scores_weigh_boxes_without_learning_from_them(make_scene: Callable) -> None:
    scene = make_scene(1)
    boxes, classes, _, _, _ = scene.leaves()
    losses = losses_of(scene)
    of_boxes = losses["boxes"] + losses["distributions"]
    assert torch.autograd.grad(of_boxes, classes, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(losses["classes"], boxes, allow_unused=True) == (None,)


def test_padding_does_not_matter(make_scene: Callable, pad_objects: Callable) -> None:
    scene = make_scene(2)
    padded = losses_of(scene, objects=pad_objects(scene.objects, 4))
    assert padded == losses_of(scene)


def test_half_precision_is_computed_in_full(make_scene: Callable) -> None:
    scene = make_scene(3)
    halves = {name: getattr(scene, name).bfloat16() for name in ("boxes", "classes", "sides")}
    losses = losses_of(scene, **halves)
    rounded = losses_of(scene, **{name: half.float() for name, half in halves.items()})
    assert {term.dtype for term in losses.values()} == {torch.float32}
    assert losses == rounded


def test_free_predictions_learn_their_objects(make_scene: Callable) -> None:
    scene = make_scene(5, images=2, count=3)
    bins = torch.arange(17.0)
    sides = torch.zeros_like(scene.sides).requires_grad_()
    classes = torch.full_like(scene.classes, -2.0).requires_grad_()
    optimizer = torch.optim.Adam((sides, classes), lr=0.5)
    centre, stride = scene.points[:, :2], scene.points[:, 2:]
    for _ in range(30):
        low, high = (functional.softmax(sides, -1) @ bins).chunk(2, -1)
        boxes = torch.cat((centre - low * stride, centre + high * stride), -1)
        losses = losses_of(scene, boxes=boxes, sides=sides, classes=classes)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    matches = matches_of(scene)
    positive = matches >= 0
    image = positive.nonzero()[:, 0]
    wanted = scene.objects.boxes[image, matches[positive]]
    iou = box_iou(boxes[positive], wanted).diagonal()
    assert iou.min() > 0.8
    labels = scene.objects.labels[image, matches[positive]]
    assert (classes[positive].argmax(-1) + 1).equal(labels)
    assert classes[~positive].max() < -1
