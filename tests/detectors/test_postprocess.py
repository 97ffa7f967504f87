from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from detectors.postprocess import Detections, postprocess
from searchspace.heads import Postprocess


def random_output(seed: int, images: int, priors: int, classes: int) -> tuple[Tensor, Tensor]:
    """Boxes that overlap a lot and hang over the border, and softmax-like scores."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(images, priors, 2, generator=generator)
    size = torch.rand(images, priors, 2, generator=generator) * 0.4 + 0.02
    boxes = torch.cat((centre - size / 2, centre + size / 2), -1)
    logits = torch.randn(images, priors, classes + 1, generator=generator) * 2
    return boxes, logits.softmax(-1)[..., 1:]


def by_loops(
    boxes: Tensor, scores: Tensor, config: Postprocess, counts: tuple[int, ...] = ()
) -> list[tuple[float, ...]]:
    """One image: the best of each level, its best candidates, class by class, the best of all."""
    rows, first = [], 0
    for count in counts or (len(boxes),):
        level = [
            (float(scores[prior, label]), prior, label)
            for prior in range(first, first + count)
            for label in range(scores.shape[1])
        ]
        rows += sorted(level, reverse=True)[: config.level_candidates]
        first += count
    ranked = [[row for row in sorted(rows)[::-1] if row[2] == k] for k in range(scores.shape[1])]
    rows = [row for of_class in ranked for row in of_class[: config.class_candidates]]
    rows = sorted(rows, reverse=True)[: config.candidates]
    rows = [row for row in rows if row[0] > config.score_threshold]
    found = []
    for label in range(scores.shape[1]):
        mine = [row for row in rows if row[2] == label]
        if mine:
            places = boxes[[prior for _, prior, _ in mine]].clamp(0, 1).double()
            kept = nms(places, torch.tensor([s for s, _, _ in mine]).double(), config.nms_iou)
            found += [(mine[k][0], label + 1, *places[k].tolist()) for k in kept.tolist()]
    return sorted(found, reverse=True)[: config.detections]


def rows_of(detections: Detections, image: int) -> list[tuple[float, ...]]:
    found = detections.of_image(image, width=1, height=1)
    values = zip(*(found[k].tolist() for k in ("scores", "labels", "boxes")), strict=True)
    return [(score, label, *box) for score, label, box in values]


CONFIGS = [
    Postprocess(),
    Postprocess(score_threshold=0.3, nms_iou=0.6),
    Postprocess(candidates=50, nms_iou=0.2),
    Postprocess(detections=7),
    Postprocess(score_threshold=0.0, candidates=10_000, nms_iou=1.0, detections=10_000),
    Postprocess(candidates=None),
    Postprocess(candidates=None, class_candidates=9, nms_iou=0.8),
    Postprocess(candidates=20, class_candidates=9, nms_iou=0.8),
    Postprocess(candidates=40, class_candidates=15, level_candidates=50),
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_detections_are_those_of_loops(config: Postprocess, seed: int) -> None:
    boxes, scores = random_output(seed, images=3, priors=120, classes=4)
    detections = postprocess(boxes, scores, config)
    for image in range(3):
        expected = by_loops(boxes[image], scores[image], config)
        assert rows_of(detections, image) == [pytest.approx(row, abs=1e-6) for row in expected]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("counts", [(), (90, 25, 5), (1, 119)])
@pytest.mark.parametrize("most", [3, 30])
def test_candidates_of_each_level_are_those_of_loops(
    seed: int, counts: tuple[int, ...], most: int
) -> None:
    boxes, scores = random_output(seed, images=2, priors=120, classes=4)
    config = Postprocess(level_candidates=most, candidates=70, nms_iou=0.8)
    detections = postprocess(boxes, scores, config, counts)
    for image in range(2):
        expected = by_loops(boxes[image], scores[image], config, counts)
        assert rows_of(detections, image) == [pytest.approx(row, abs=1e-6) for row in expected]


def test_padding_is_last_and_empty() -> None:
    boxes, scores = random_output(5, images=2, priors=60, classes=3)
    scores[1] *= 0.02
    detections = postprocess(boxes, scores, Postprocess(score_threshold=0.015))
    counts = (detections.labels > 0).sum(1)
    assert counts[0] > counts[1] > 0
    for image, count in enumerate(counts.tolist()):
        assert (detections.labels[image, :count] > 0).all()
        assert (detections.scores[image, :count].diff() <= 0).all()
        assert not detections.labels[image, count:].any()
        assert not detections.scores[image, count:].any()


def test_without_scores_above_the_threshold_there_is_no_detection() -> None:
    boxes, scores = random_output(6, images=2, priors=30, classes=3)
    detections = postprocess(boxes, scores * 0.001, Postprocess())
    assert not detections.labels.any()
    assert [rows_of(detections, image) for image in range(2)] == [[], []]
    assert detections.of_image(0, 50, 40)["boxes"].shape == (0, 4)


def test_a_score_on_the_threshold_is_left_out() -> None:
    boxes = torch.tensor([[[0.1, 0.1, 0.2, 0.2], [0.6, 0.6, 0.9, 0.9]]])
    scores = torch.tensor([[[0.5], [0.5000001]]])
    detections = postprocess(boxes, scores, Postprocess(score_threshold=0.5))
    assert rows_of(detections, 0) == [pytest.approx((0.5, 1, 0.6, 0.6, 0.9, 0.9))]


def test_classes_and_images_do_not_suppress_each_other() -> None:
    box = torch.tensor([0.2, 0.2, 0.6, 0.6])
    boxes = box.expand(2, 2, 4)
    scores = torch.tensor([[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.6], [0.6, 0.7]]])
    detections = postprocess(boxes, scores, Postprocess(score_threshold=0.05))
    for image, expected in enumerate([[(0.9, 1), (0.8, 2)], [(0.7, 1), (0.7, 2)]]):
        found = [row[:2] for row in rows_of(detections, image)]
        assert sorted(found, key=lambda row: row[1]) == [pytest.approx(row) for row in expected]


def test_boxes_come_in_the_images_pixels() -> None:
    boxes = torch.tensor([[[-0.5, 0.25, 0.5, 0.75], [0.9, 0.9, 1.3, 1.2]]])
    scores = torch.tensor([[[0.9], [0.8]]])
    found = postprocess(boxes, scores, Postprocess()).of_image(0, width=200, height=80)
    assert found["boxes"].tolist() == [
        pytest.approx([0, 20, 100, 60]),
        pytest.approx([180, 72, 200, 80]),
    ]
    assert found["labels"].tolist() == [1, 1]


def test_a_box_without_area_on_the_input_is_no_detection() -> None:
    """Beside it, or touching it; one that is right has its place among the best."""
    beside = [[-0.3, 0.1, -0.1, 0.4], [1.0, 0.1, 1.2, 0.4], [0.1, -0.5, 0.4, 0.0]]
    boxes = torch.tensor([[*beside, [0.5, 0.5, 0.5, 0.9], [0.9, 0.2, 1.5, 0.4]]])
    scores = torch.tensor([[[0.9], [0.8], [0.7], [0.6], [0.5]]])
    detections = postprocess(boxes, scores, Postprocess(detections=1))
    assert rows_of(detections, 0) == [pytest.approx((0.5, 1, 0.9, 0.2, 1.0, 0.4))]
