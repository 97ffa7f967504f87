from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from detectors.matching import Objects, match_atss


def objects_of(*boxes: list[float]) -> Objects:
    """One image."""
    valid = torch.ones(1, len(boxes), dtype=torch.bool)
    return Objects(torch.tensor([boxes]), valid.long(), ~valid, valid)


def anchors_of(points: Tensor, strides: float = 8) -> Tensor:
    return points * torch.tensor([1, 1, strides, strides])


def by_loops(
    anchors: Tensor, counts: tuple[int, ...], objects: Objects, image: int, nearest: int = 9
) -> list[int]:
    """ATSS on one image, one object and one anchor at a time."""
    iou = box_iou(objects.boxes[image], box_convert(anchors, "cxcywh", "xyxy")).tolist()
    best: dict[int, tuple[float, int]] = {}
    for g, (x1, y1, x2, y2) in enumerate(objects.boxes[image].tolist()):
        if not objects.valid[image, g]:
            continue
        centre = ((x1 + x2) / 2, (y1 + y2) / 2)
        candidates, first = [], 0
        for count in counts:
            level = range(first, first + count)
            level = sorted(level, key=lambda p: math.dist(anchors[p, :2].tolist(), centre))
            candidates += level[:nearest]
            first += count
        overlaps = [iou[g][p] for p in candidates]
        threshold = statistics.mean(overlaps) + statistics.stdev(overlaps)
        for p in candidates:
            x, y = anchors[p, :2].tolist()
            inside = x1 < x < x2 and y1 < y < y2
            if inside and iou[g][p] >= threshold and iou[g][p] > best.get(p, (-1, 0))[0]:
                best[p] = (iou[g][p], g)
    return [best[p][1] if p in best else -1 for p in range(len(anchors))]


@pytest.mark.parametrize("strides", [1, 2, 8])
@pytest.mark.parametrize("seed", range(6))
def test_random_scenes_are_matched_as_by_loops(
    seed: int, strides: int, make_scene: Callable
) -> None:
    scene = make_scene(seed)
    inputs = (anchors_of(scene.points, strides), scene.counts, scene.objects)
    matches = match_atss(*inputs)
    assert matches.tolist() == [by_loops(*inputs, image) for image in range(len(matches))]
    assert (matches[-1] == -1).all()
    assert (matches >= 0).any()


@pytest.mark.parametrize("nearest", [1, 4, 100])
def test_the_number_of_candidates_is_a_parameter(nearest: int, make_scene: Callable) -> None:
    scene = make_scene(7)
    inputs = (anchors_of(scene.points, 2), scene.counts, scene.objects)
    matches = match_atss(*inputs, nearest=nearest)
    assert matches[0].tolist() == by_loops(*inputs, image=0, nearest=nearest)


def test_the_unit_does_not_matter(make_scene: Callable) -> None:
    scene = make_scene(3)
    anchors, o = anchors_of(scene.points), scene.objects
    fractions = Objects(o.boxes / 64, o.labels, o.small, o.valid)
    in_pixels = match_atss(anchors, scene.counts, o)
    assert match_atss(anchors / 64, scene.counts, fractions).equal(in_pixels)
    assert fractions.scaled(64, 64).boxes.equal(o.boxes)


@pytest.mark.parametrize("seed", range(3))
def test_padding_chunks_and_the_order_of_objects_do_not_matter(
    seed: int, make_scene: Callable, pad_objects: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(seed)
    anchors, o = anchors_of(scene.points), scene.objects
    matches = match_atss(anchors, scene.counts, o)
    assert match_atss(anchors, scene.counts, pad_objects(o, 3)).equal(matches)

    monkeypatch.setattr("detectors.matching.objects.MOST_PAIRS", 1)
    assert match_atss(anchors, scene.counts, o).equal(matches)

    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = Objects(o.boxes[:, order], o.labels[:, order], o.small[:, order], o.valid[:, order])
    again = match_atss(anchors, scene.counts, shuffled)
    assert torch.where(again >= 0, order[again], -1).equal(matches)


BOX = [0.0, 0.0, 8.0, 8.0]
HERE, AWAY = [4.0, 4.0, 8.0, 8.0], [40.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("anchors", "expected"),
    [
        # IoUs 1, 0, 0: mean 1/3, deviation 0.577, threshold 0.911.
        ([HERE, AWAY, AWAY], [0, -1, -1]),
        # IoUs 1, 1, 0, 0: threshold 0.5 + 0.577. That of the population would be 0.5 + 0.5.
        ([HERE, HERE, AWAY, AWAY], [-1, -1, -1, -1]),
        # IoUs 1, 1, 0, 0, 0: threshold 0.4 + 0.548.
        ([HERE, HERE, AWAY, AWAY, AWAY], [0, 0, -1, -1, -1]),
        # A single candidate is its own threshold.
        ([HERE], [0]),
        # Its centre must be inside, not on the side.
        ([[8.0, 4.0, 8.0, 8.0]], [-1]),
        ([[7.9, 4.0, 8.0, 8.0]], [0]),
    ],
)
def test_by_hand(anchors: list[list[float]], expected: list[int]) -> None:
    matches = match_atss(torch.tensor(anchors), [len(anchors)], objects_of(BOX))
    assert matches.tolist() == [expected]


def test_levels_have_candidates_of_their_own() -> None:
    # The nearer nine, and six of the farther, overlap the box by 1/64; three do by 4/7.
    near = [[4.0 + 0.1 * i, 4.0, 1.0, 1.0] for i in range(9)]
    far = [[7.0, 4.0, 14.0, 8.0]] * 3 + [[7.0, 4.0, 1.0, 1.0]] * 6
    anchors = torch.tensor(near + far)
    assert match_atss(anchors, [18], objects_of(BOX)).tolist() == [[0] * 9 + [-1] * 9]
    apart = [[-1] * 9 + [0] * 3 + [-1] * 6]
    assert match_atss(anchors, [9, 9], objects_of(BOX)).tolist() == apart


def test_an_anchor_of_two_objects_is_assigned_to_the_larger_iou() -> None:
    anchors = torch.tensor([HERE, AWAY, AWAY])
    wide = [0.0, 0.0, 10.0, 8.0]
    assert match_atss(anchors, [3], objects_of(wide, BOX))[0, 0] == 1
    assert match_atss(anchors, [3], objects_of(BOX, wide))[0, 0] == 0
    assert match_atss(anchors, [3], objects_of(wide, BOX, BOX))[0, 0] == 1


@pytest.mark.parametrize("side", [17.3, 20.2, 20.8, 21.6, 22.6])
def test_candidates_of_one_iou_are_all_taken(side: float, make_points: Callable) -> None:
    # A box inside of all nine anchors: the threshold is their IoU, up to rounding.
    points = make_points(72, (8,))
    box = [36 - side / 2, 36 - side / 2, 36 + side / 2, 36 + side / 2]
    matches = match_atss(anchors_of(points), [81], objects_of(box))
    assert (matches >= 0).sum() == 9
