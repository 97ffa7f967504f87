from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou

from detectors.losses import yolox_losses
from detectors.matching import Objects, match_simota
from searchspace.training import SmallObjects

SMALL = SmallObjects(weight=1.7, offset=0.2)


def losses_of(scene: object, **changes: object) -> dict[str, Tensor]:
    inputs = {
        "boxes": scene.boxes,
        "classes": scene.classes,
        "objectness": scene.objectness,
        "points": scene.points,
        "objects": scene.objects,
        "small_objects": SMALL,
        "coded": scene.coded,
    }
    return yolox_losses(**(inputs | changes))


def by_loops(scene: object) -> dict[str, float]:
    """Section 7.1, point by point."""
    predictions = (scene.boxes, scene.classes, scene.objectness)
    matches = match_simota(*predictions, scene.points, scene.objects)
    entropy = functional.binary_cross_entropy_with_logits
    terms = dict.fromkeys(("boxes", "objectness", "classes", "coded"), 0.0)
    for image, row in enumerate(matches.tolist()):
        for point, number in enumerate(row):
            target = torch.tensor(float(number >= 0))
            terms["objectness"] += entropy(scene.objectness[image, point], target).item()
            if number < 0:
                continue
            box, wanted = scene.boxes[image, point], scene.objects.boxes[image, number]
            iou = box_iou(box[None], wanted[None]).item()
            loss = 1 - iou**2
            terms["boxes"] += 5 * (1.7 * loss + 0.2 if scene.objects.small[image, number] else loss)
            for label, logit in enumerate(scene.classes[image, point], 1):
                target = torch.tensor(iou if label == scene.objects.labels[image, number] else 0.0)
                terms["classes"] += entropy(logit, target).item()
            x, y, stride, _ = scene.points[point].tolist()
            x1, y1, x2, y2 = wanted.tolist()
            code = (
                ((x1 + x2) / 2 - (x - stride / 2)) / stride,
                ((y1 + y2) / 2 - (y - stride / 2)) / stride,
                math.log((x2 - x1) / stride),
                math.log((y2 - y1) / stride),
            )
            terms["coded"] += sum(
                abs(a - b) for a, b in zip(scene.coded[image, point].tolist(), code, strict=True)
            )
    positives = int((matches >= 0).sum())
    return {name: total / positives for name, total in terms.items()}


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_that_of_loops(seed: int, make_scene: Callable) -> None:
    scene = make_scene(seed)
    values = {name: term.item() for name, term in losses_of(scene).items()}
    assert values == pytest.approx(by_loops(scene), rel=1e-4)


def one_object() -> dict[str, Tensor | Objects]:
    """Four points of which one predicts half of the object; class 2 of 2."""
    valid = torch.tensor([[True]])
    half, nothing = [0.0, 0.0, 16.0, 8.0], [100.0, 100.0, 101.0, 101.0]
    points = [[4.0, 4, 8, 8], [12.0, 4, 8, 8], [4.0, 12, 8, 8], [12.0, 12, 8, 8]]
    return {
        "boxes": torch.tensor([[half, nothing, nothing, nothing]]),
        "classes": torch.tensor([[[0.0, math.log(3)], [0, 0], [0, 0], [0, 0]]]),
        "objectness": torch.tensor([[math.log(4), 0, 0, 0]]),
        "points": torch.tensor(points),
        "objects": Objects(torch.tensor([[[0.0, 0, 16, 16]]]), 2 * valid.long(), valid, valid),
    }


def test_by_hand() -> None:
    losses = yolox_losses(**one_object())
    assert set(losses) == {"boxes", "objectness", "classes"}
    assert losses["boxes"].item() == pytest.approx(5 * (1 - 0.5**2))
    # Scores 4/5 for the positive, 1/2 for three backgrounds.
    assert losses["objectness"].item() == pytest.approx(math.log(5 / 4) + 3 * math.log(2))
    # Scores 1/2 for class 1, whose target is 0, and 3/4 for class 2, whose target is the IoU 1/2.
    classes = math.log(2) - 0.5 * math.log(3 / 4) - 0.5 * math.log(1 / 4)
    assert losses["classes"].item() == pytest.approx(classes)
    published = yolox_losses(**one_object(), small_objects=SmallObjects(weight=0.95, offset=0.05))
    assert published["boxes"].item() == pytest.approx(5 * 0.7625)


def test_the_l1_term_by_hand() -> None:
    # The object's centre (8, 8) is 1 stride from the corner of the first cell, its sides are 2.
    coded = torch.zeros(1, 4, 4)
    coded[0, 0] = torch.tensor([1.5, 1.0, math.log(2), 0.0])
    losses = yolox_losses(**one_object(), coded=coded)
    assert losses["coded"].item() == pytest.approx(0.5 + math.log(2))


def test_without_objects_only_objectness_is_learned(make_scene: Callable) -> None:
    scene = make_scene(0)
    o = scene.objects
    nothing = Objects(o.boxes, torch.zeros_like(o.labels), o.small, torch.zeros_like(o.valid))
    leaves = scene.leaves()[:4]
    losses = losses_of(scene, objects=nothing)
    expected = functional.softplus(scene.objectness).sum().item()
    values = {name: term.item() for name, term in losses.items()}
    assert values == pytest.approx({"boxes": 0, "objectness": expected, "classes": 0, "coded": 0})
    sum(losses.values()).backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    assert [bool(leaf.grad.any()) for leaf in leaves] == [False, False, True, False]


def test_gradients_are_finite_and_reach_positives_only(make_scene: Callable) -> None:
    scene = make_scene(1)
    boxes, classes, objectness, coded, _ = scene.leaves()
    losses = losses_of(scene)
    sum(losses.values()).backward()
    matches = match_simota(boxes, classes, objectness, scene.points, scene.objects)
    for leaf in (boxes, classes, coded):
        assert leaf.grad.isfinite().all()
        assert leaf.grad.any(-1).equal(matches >= 0)
    assert objectness.grad.all()


def test_the_iou_that_scores_learn_has_no_gradient(make_scene: Callable) -> None:
    scene = make_scene(1)
    boxes = scene.leaves()[0]
    gradient = torch.autograd.grad(losses_of(scene)["classes"], boxes, allow_unused=True)
    assert gradient == (None,)


def test_padding_does_not_matter(make_scene: Callable, pad_objects: Callable) -> None:
    scene = make_scene(2)
    padded = losses_of(scene, objects=pad_objects(scene.objects, 4))
    assert padded == losses_of(scene)


def test_half_precision_is_computed_in_full(make_scene: Callable) -> None:
    scene = make_scene(3)
    halves = {name: getattr(scene, name).bfloat16() for name in ("boxes", "classes", "objectness")}
    losses = losses_of(scene, **halves)
    rounded = losses_of(scene, **{name: half.float() for name, half in halves.items()})
    assert {term.dtype for term in losses.values()} == {torch.float32}
    assert losses == rounded


def test_free_predictions_learn_their_objects(make_scene: Callable) -> None:
    scene = make_scene(5, images=3, count=3)
    scene.objects.boxes[0, 1] = torch.tensor([50.0, 50.0, 60.0, 58.0])
    scores = torch.full((3, 84, 4), -2.0, requires_grad=True)
    coded = torch.zeros_like(scene.coded).requires_grad_()
    optimizer = torch.optim.Adam((scores, coded), lr=0.3)
    corner, stride = scene.points[:, :2] - scene.points[:, 2:] / 2, scene.points[:, 2:]
    for _ in range(40):
        centre, size = coded[..., :2] * stride + corner, coded[..., 2:].exp() * stride
        boxes = torch.cat((centre - size / 2, centre + size / 2), -1)
        classes, objectness = scores[..., :3], scores[..., 3]
        changes = {"boxes": boxes, "classes": classes, "objectness": objectness, "coded": coded}
        losses = losses_of(scene, **changes)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    found = objectness > 0
    assert not found[2].any()
    for image, valid in enumerate(scene.objects.valid[:2]):
        iou = box_iou(scene.objects.boxes[image], boxes[image, found[image]])[valid]
        best, which = iou.max(1)
        assert best.min() > 0.8
        labels = classes[image, found[image]][which].argmax(-1) + 1
        assert labels.equal(scene.objects.labels[image][valid])
