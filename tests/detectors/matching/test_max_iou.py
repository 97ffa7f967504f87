from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from detectors.matching import Objects, match_max_iou

# Four priors side by side in the upper half, one over the lower half.
PRIORS = box_convert(
    torch.tensor(
        [
            [0.00, 0.0, 0.25, 0.5],
            [0.25, 0.0, 0.50, 0.5],
            [0.50, 0.0, 0.75, 0.5],
            [0.75, 0.0, 1.00, 0.5],
            [0.00, 0.5, 1.00, 1.0],
        ]
    ),
    "xyxy",
    "cxcywh",
)


def objects(*images: list[list[float]], pad: int = 0) -> Objects:
    """The boxes of each image, padded to the longest and `pad` further with whole images."""
    count = max(len(image) for image in images) + pad
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(len(images), count, 1)
    valid = torch.zeros(len(images), count, dtype=torch.bool)
    for index, image in enumerate(images):
        boxes[index, : len(image)] = torch.tensor(image).reshape(-1, 4)
        valid[index, : len(image)] = True
    return Objects(boxes=boxes, labels=valid.long(), small=valid, valid=valid)


def matched(*images: list[list[float]], pad: int = 0) -> list[list[int]]:
    return match_max_iou(PRIORS, objects(*images, pad=pad)).tolist()


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        # One that covers two priors by half each: IoU 1/2 reaches the threshold on both.
        ([[0.00, 0.0, 0.50, 0.5]], [0, 0, -1, -1, -1]),
        # A little wider, none reaches it; the best prior is claimed all the same.
        ([[0.00, 0.0, 0.51, 0.5]], [0, -1, -1, -1, -1]),
        # A tiny one claims the prior that it lies in.
        ([[0.80, 0.1, 0.82, 0.12]], [-1, -1, -1, 0, -1]),
        # Two with the same best prior: the later one claims it, whatever the IoU.
        ([[0.00, 0.5, 1.00, 0.9], [0.00, 0.5, 1.00, 1.0]], [-1, -1, -1, -1, 1]),
        ([[0.00, 0.5, 1.00, 1.0], [0.00, 0.5, 1.00, 0.9]], [-1, -1, -1, -1, 1]),
        ([[0.25, 0.0, 0.50, 0.5], [0.30, 0.0, 0.32, 0.5]], [-1, 1, -1, -1, -1]),
        ([[0.30, 0.0, 0.32, 0.5], [0.25, 0.0, 0.50, 0.5]], [-1, 1, -1, -1, -1]),
        ([], [-1, -1, -1, -1, -1]),
    ],
)
@pytest.mark.parametrize("pad", [0, 1, 3])
def test_by_hand(boxes: list[list[float]], expected: list[int], pad: int) -> None:
    assert matched(boxes, [[0.5, 0.5, 1.0, 1.0]], pad=pad)[0] == expected


def test_a_batch_without_any_object_is_background() -> None:
    assert matched([], [], pad=2) == [[-1] * 5] * 2


def test_the_threshold_is_a_parameter() -> None:
    third = [[0.0, 0.0, 0.75, 0.5]]
    assert match_max_iou(PRIORS, objects(third), threshold=0.3).tolist() == [[0, 0, 0, -1, -1]]


def by_loops(priors: Tensor, boxes: Tensor, threshold: float) -> list[int]:
    """SSD's matching, one image, one prior and one object at a time."""
    iou = box_iou(box_convert(priors, "cxcywh", "xyxy"), boxes)
    result = []
    for row in iou:
        best = int(row.argmax())
        result.append(best if row[best] >= threshold else -1)
    for number in range(len(boxes)):
        result[int(iou[:, number].argmax())] = number
    return result


@pytest.mark.parametrize("seed", range(15))
def test_random_scenes_are_matched_as_by_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    priors = torch.rand(300, 4, generator=generator).clamp(0.05, 0.95)
    counts = torch.randint(1, 12, (4,), generator=generator).tolist()
    scenes = []
    for count in counts:
        centres = torch.rand(count, 4, generator=generator) * 0.8 + 0.1
        scenes.append(box_convert(centres, "cxcywh", "xyxy").clamp(0, 1))
    result = match_max_iou(priors, objects(*(scene.tolist() for scene in scenes), pad=2))
    for image, scene in enumerate(scenes):
        assert result[image].tolist() == by_loops(priors, scene, 0.5)
        assert set(result[image].tolist()) >= {len(scene) - 1}
