from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from detectors.boxes import encode
from detectors.features import Predictions
from detectors.losses import EVEN, hard_negatives, multibox_loss
from detectors.matching import Objects
from searchspace.training import SmallObjects

CLASSES = 3


def scene(seed: int, images: int = 3, priors: int = 40, count: int = 4) -> dict[str, object]:
    """Random predictions, priors, matches and objects; the last image has no object."""
    torch.manual_seed(seed)
    matches = torch.full((images, priors), -1)
    for image in range(images - 1):
        positives = torch.randperm(priors)[: 2 + image]
        matches[image, positives] = torch.randint(count, (2 + image,))
    corners = torch.rand(images, count, 2, 2).sort(dim=-2).values.flatten(-2)
    valid = torch.ones(images, count, dtype=torch.bool)
    valid[-1] = False
    return {
        "predictions": Predictions(
            boxes=torch.randn(images, priors, 4, requires_grad=True),
            classes=torch.randn(images, priors, 1 + CLASSES, requires_grad=True),
        ),
        "priors": torch.rand(priors, 4) * 0.5 + 0.1,
        "matches": matches,
        "objects": Objects(
            boxes=corners,
            labels=torch.randint(1, CLASSES + 1, (images, count)) * valid,
            small=torch.rand(images, count) < 0.5,
            valid=valid,
        ),
    }


def by_loops(
    predictions: Predictions,
    priors: Tensor,
    matches: Tensor,
    objects: Objects,
    small_objects: SmallObjects = EVEN,
) -> dict[str, float]:
    """SSD's loss, image by image and prior by prior."""
    classes = boxes = 0.0
    positives = 0
    for image, row in enumerate(matches.tolist()):
        backgrounds = []
        for prior, number in enumerate(row):
            logits = predictions.classes[image, prior]
            if number < 0:
                backgrounds.append(-logits.log_softmax(0)[0].item())
                continue
            positives += 1
            small = small_objects if objects.small[image, number] else EVEN
            label = objects.labels[image, number]
            classes += small.weight * -logits.log_softmax(0)[label].item()
            wanted = encode(objects.boxes[image, number], priors[prior])
            error = functional.smooth_l1_loss(
                predictions.boxes[image, prior], wanted, reduction="sum"
            )
            boxes += small.weight * error.item() + small.offset
        mined = 3 * sum(number >= 0 for number in row)
        classes += sum(sorted(backgrounds, reverse=True)[:mined])
    return {"classes": classes / max(positives, 1), "boxes": boxes / max(positives, 1)}


@pytest.mark.parametrize(("weight", "offset"), [(1.0, 0.0), (2.5, 0.0), (0.95, 0.05)])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_that_of_loops(seed: int, weight: float, offset: float) -> None:
    inputs = scene(seed)
    small = SmallObjects(weight=weight, offset=offset)
    losses = multibox_loss(**inputs, small_objects=small)
    expected = by_loops(**inputs, small_objects=small)
    assert {n: x.item() for n, x in losses.items()} == pytest.approx(expected, rel=1e-5)


def one_image(small: bool = False) -> dict[str, object]:
    """Three priors of which the first has an object of class 2, exactly where it lies."""
    prior = torch.tensor([0.5, 0.5, 0.2, 0.4])
    return {
        "predictions": Predictions(
            boxes=torch.tensor([[[0.5, -2.0, 0.0, 0.0], [9.0] * 4, [9.0] * 4]]),
            classes=torch.tensor([[[0.0, 0.0, math.log(2)], [0.0] * 3, [math.log(6), 0.0, 0.0]]]),
        ),
        "priors": prior.expand(3, 4),
        "matches": torch.tensor([[0, -1, -1]]),
        "objects": Objects(
            boxes=torch.tensor([[[0.4, 0.3, 0.6, 0.7]]]),
            labels=torch.tensor([[2]]),
            small=torch.tensor([[small]]),
            valid=torch.tensor([[True]]),
        ),
    }


def test_by_hand() -> None:
    # Chances of the right class: 2/4 (positive), 1/3 and 6/8 (backgrounds). Offsets (0.5, -2).
    losses = multibox_loss(**one_image())
    entropy = math.log(2) + math.log(3) + math.log(8 / 6)
    assert losses["classes"].item() == pytest.approx(entropy)
    assert losses["boxes"].item() == pytest.approx(0.5 * 0.5**2 + (2 - 0.5), rel=1e-4)


def test_small_objects_weigh_more_backgrounds_do_not() -> None:
    losses = multibox_loss(**one_image(small=True), small_objects=SmallObjects(weight=4.0))
    assert losses["classes"].item() == pytest.approx(4 * math.log(2) + math.log(4))
    assert losses["boxes"].item() == pytest.approx(4 * 1.625, rel=1e-4)
    same = multibox_loss(**one_image(small=False), small_objects=SmallObjects(weight=4.0))
    assert same == multibox_loss(**one_image(small=False))


@pytest.mark.parametrize(("positives", "mined"), [(0, 0), (1, 3), (2, 6), (4, 12), (10, 6)])
def test_three_backgrounds_are_mined_for_each_positive(positives: int, mined: int) -> None:
    losses = torch.rand(1, 16)
    positive = torch.zeros(1, 16, dtype=torch.bool)
    positive[0, :positives] = True
    negative = hard_negatives(losses, positive)
    assert negative.sum() == mined
    assert not (negative & positive).any()
    left = losses[~positive & ~negative]
    if mined and len(left):
        assert losses[negative].min() >= left.max()


def test_mining_is_by_image() -> None:
    losses = torch.tensor([[9.0] * 6, [0.1] * 6])
    positive = torch.zeros(2, 6, dtype=torch.bool)
    positive[1, 0] = True
    assert hard_negatives(losses, positive).sum(1).tolist() == [0, 3]


def test_without_objects_the_loss_is_zero_and_can_be_differentiated() -> None:
    inputs = scene(0)
    inputs["matches"] = torch.full_like(inputs["matches"], -1)
    objects = inputs["objects"]
    inputs["objects"] = Objects(
        boxes=objects.boxes,
        labels=torch.zeros_like(objects.labels),
        small=objects.small,
        valid=torch.zeros_like(objects.valid),
    )
    losses = multibox_loss(**inputs)
    assert {n: x.item() for n, x in losses.items()} == {"classes": 0.0, "boxes": 0.0}
    sum(losses.values()).backward()
    assert inputs["predictions"].classes.grad.isfinite().all()


def test_padding_does_not_matter() -> None:
    inputs = scene(2)
    losses = multibox_loss(**inputs, small_objects=SmallObjects(weight=2.0))
    objects = inputs["objects"]
    padded = Objects(
        boxes=torch.cat((objects.boxes, torch.full((3, 5, 4), 0.3)), 1),
        labels=torch.cat((objects.labels, torch.zeros(3, 5, dtype=torch.long)), 1),
        small=torch.cat((objects.small, torch.ones(3, 5, dtype=torch.bool)), 1),
        valid=torch.cat((objects.valid, torch.zeros(3, 5, dtype=torch.bool)), 1),
    )
    again = multibox_loss(**(inputs | {"objects": padded}), small_objects=SmallObjects(weight=2.0))
    assert {n: x.item() for n, x in again.items()} == {n: x.item() for n, x in losses.items()}


def test_only_positives_and_mined_backgrounds_get_gradients() -> None:
    inputs = scene(1)
    sum(multibox_loss(**inputs).values()).backward()
    predictions, positive = inputs["predictions"], inputs["matches"] >= 0
    assert (predictions.boxes.grad != 0).any(-1).equal(positive)
    touched = (predictions.classes.grad != 0).any(-1)
    assert touched[positive].all()
    assert touched.sum(1).tolist() == (4 * positive.sum(1)).tolist()
