from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from detectors.matching import Objects, match_simota


def objects_of(boxes: list[list[float]], labels: list[int] | None = None) -> Objects:
    """One image."""
    valid = torch.ones(1, len(boxes), dtype=torch.bool)
    return Objects(
        boxes=torch.tensor([boxes]),
        labels=torch.tensor([labels or [1] * len(boxes)]),
        small=~valid,
        valid=valid,
    )


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def price(logits: list[float], objectness: float, label: int, iou: float, near: bool) -> float:
    """Section 7.1, for one object and one point."""
    total = 0.0
    for number, logit in enumerate(logits, 1):
        score = math.sqrt(sigmoid(logit) * sigmoid(objectness))
        total -= math.log(score if number == label else 1 - score)
    return total - 3 * math.log(iou + 1e-8) + (0 if near else 1e6)


def by_loops(
    boxes: Tensor, classes: Tensor, objectness: Tensor, points: Tensor, objects: Objects, image: int
) -> list[int]:
    """SimOTA on one image, one object and one point at a time."""
    numbers = [g for g, valid in enumerate(objects.valid[image].tolist()) if valid]
    corners = objects.boxes[image].tolist()
    near = {}
    for g in numbers:
        x, y = (corners[g][0] + corners[g][2]) / 2, (corners[g][1] + corners[g][3]) / 2
        for p, (px, py, stride, _) in enumerate(points.tolist()):
            near[g, p] = max(abs(px - x), abs(py - y)) < 1.5 * stride
    candidates = [p for p in range(len(points)) if any(near[g, p] for g in numbers)]
    iou = box_iou(objects.boxes[image], boxes[image]).tolist()
    cost = {
        (g, p): price(
            classes[image, p].tolist(),
            objectness[image, p].item(),
            objects.labels[image, g].item(),
            iou[g][p],
            near[g, p],
        )
        for g in numbers
        for p in candidates
    }
    takers: dict[int, list[int]] = {}
    for g in numbers:
        k = max(1, int(sum(sorted((iou[g][p] for p in candidates), reverse=True)[:10])))
        for p in sorted(candidates, key=lambda p, g=g: cost[g, p])[:k]:
            takers.setdefault(p, []).append(g)
    matches = [-1] * len(points)
    for p, owners in takers.items():
        cheapest = min(numbers, key=lambda g, p=p: cost[g, p])
        matches[p] = owners[0] if len(owners) == 1 else cheapest
    return matches


@pytest.mark.parametrize("seed", range(12))
def test_random_scenes_are_matched_as_by_loops(seed: int, make_scene: Callable) -> None:
    scene = make_scene(seed)
    inputs = (scene.boxes, scene.classes, scene.objectness, scene.points, scene.objects)
    matches = match_simota(*inputs)
    assert matches.tolist() == [by_loops(*inputs, image) for image in range(len(matches))]
    assert (matches[-1] == -1).all()
    assert len(matches[:-2].unique()) > 3


@pytest.mark.parametrize("seed", range(3))
def test_padding_chunks_and_the_order_of_objects_do_not_matter(
    seed: int, make_scene: Callable, pad_objects: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(seed)
    predictions = (scene.boxes, scene.classes, scene.objectness, scene.points)
    matches = match_simota(*predictions, scene.objects)
    assert match_simota(*predictions, pad_objects(scene.objects, 3)).equal(matches)

    monkeypatch.setattr("detectors.matching.objects.MOST_PAIRS", 1)
    assert match_simota(*predictions, scene.objects).equal(matches)

    order = torch.tensor([3, 0, 5, 1, 4, 2])
    o = scene.objects
    shuffled = Objects(o.boxes[:, order], o.labels[:, order], o.small[:, order], o.valid[:, order])
    again = match_simota(*predictions, shuffled)
    assert torch.where(again >= 0, order[again], -1).equal(matches)


def even(points: Tensor, box: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    """All points predict the same box and the same scores."""
    count = len(points)
    return torch.tensor(box).expand(1, count, 4), torch.zeros(1, count, 1), torch.zeros(1, count)


@pytest.mark.parametrize(
    ("centre", "columns"),
    [
        (12.0, (4, 12, 20)),  # a cell's middle: its neighbours are 8 away, the next ones 16
        (16.0, (12, 20)),  # a cell's corner: the outer points are 12 away, not less
        (15.9, (4, 12, 20)),
        (16.1, (12, 20, 28)),
    ],
)
def test_points_less_than_a_stride_and_a_half_away(
    centre: float, columns: tuple[int, ...], make_points: Callable
) -> None:
    points = make_points(32, (8,))
    # Smaller than a cell: most of these points are outside of the box, which does not count.
    box = [centre - 1, centre - 1, centre + 1, centre + 1]
    matches = match_simota(*even(points, box), points, objects_of([box]))[0]
    found = {(x, y) for x, y, *_ in points[matches == 0].tolist()}
    assert found == {(x, y) for x in columns for y in columns}


def test_the_number_of_points_is_the_sum_of_ious_rounded_down(make_points: Callable) -> None:
    points = make_points(32, (8,))
    box = [8.0, 8.0, 24.0, 24.0]
    for height, expected in ((16.0, 4), (15.0, 3), (8.0, 2), (4.0, 1), (1.0, 1)):
        predicted = [8.0, 8.0, 24.0, 8.0 + height]  # IoU height / 16 at each of four candidates
        matches = match_simota(*even(points, predicted), points, objects_of([box]))
        assert (matches >= 0).sum() == expected


def test_the_cheapest_points_are_taken(make_points: Callable) -> None:
    points = make_points(32, (8,))
    box = [8.0, 8.0, 24.0, 24.0]
    boxes, classes, objectness = even(points, [8.0, 8.0, 24.0, 16.0])
    classes, objectness = classes.clone(), objectness.clone()
    classes[0, 5] = 1.0
    objectness[0, 10] = 2.0
    classes[0, 0] = objectness[0, 0] = 9.0  # the best of all, but too far away
    matches = match_simota(boxes, classes, objectness, points, objects_of([box]))[0]
    assert (matches >= 0).nonzero().flatten().tolist() == [5, 10]


def test_a_point_of_two_objects_is_assigned_to_the_cheaper_one(make_points: Callable) -> None:
    points = make_points(32, (8,))
    box = [8.0, 8.0, 24.0, 24.0]
    boxes, _, objectness = even(points, box)
    classes = torch.zeros(1, 16, 2)
    classes[0, 5], classes[0, 6] = torch.tensor([3.0, -3.0]), torch.tensor([-3.0, 3.0])
    matches = match_simota(boxes, classes, objectness, points, objects_of([box, box], [1, 2]))[0]
    assert matches[[5, 6]].tolist() == [0, 1]
    # Equal costs: the first object.
    assert matches[[9, 10]].tolist() == [0, 0]


def test_points_of_others_are_the_last_resort(make_points: Callable) -> None:
    points = make_points(32, (8,))
    corner, middle = [-16.0, -16.0, 16.0, 16.0], [15.0, 15.0, 17.0, 17.0]
    boxes, classes, objectness = even(points, corner)  # suits the first object everywhere
    matches = match_simota(boxes, classes, objectness, points, objects_of([corner, middle]))[0]
    # Points 5, 6, 9, 10 are near the second object, 0 alone near the first, which takes five. The
    # second takes one of its four, and as it is nearer, keeps it.
    assert matches[0] == 0
    assert sorted(matches[[5, 6, 9, 10]].tolist()) == [0, 0, 0, 1]
    assert (matches >= 0).sum() == 5


def test_extreme_scores_have_finite_costs(make_points: Callable) -> None:
    points = make_points(32, (8,))
    box = [8.0, 8.0, 24.0, 24.0]
    boxes, classes, objectness = even(points, box)
    for logit in (-1e4, 1e4):
        matches = match_simota(
            boxes, classes + logit, objectness + logit, points, objects_of([box])
        )
        assert (matches >= 0).sum() == 4
    nowhere = match_simota(boxes + 1e6, classes, objectness, points, objects_of([box]))
    assert (nowhere >= 0).sum() == 1
