from __future__ import annotations

import itertools

import pytest
import torch

from detectors.priors import default_boxes, level_priors
from searchspace.geometry import Level
from searchspace.heads import LevelPoints
from searchspace.priors import LevelPriors

STEPS_300 = (8, 16, 32, 64, 100, 300)
MAPS_300 = (38, 19, 10, 5, 3, 1)
VOC_300 = (30, 60, 111, 162, 213, 264, 315)
COCO_300 = (21, 45, 99, 153, 207, 261, 315)
VOC_512 = (35.84, 76.8, 153.6, 230.4, 307.2, 384, 460.8, 537.6)
STEPS_512 = (8, 16, 32, 64, 128, 256, 512)
MAPS_512 = (64, 32, 16, 8, 4, 2, 1)

# sizes, steps, maps, boxes per cell, input; then the number of boxes and their column sums.
TABLES = {
    "VOC300, 8732": (VOC_300, STEPS_300, MAPS_300, (4, 6, 6, 6, 4, 4), 300),
    "VOC300, 11620": (VOC_300, STEPS_300, MAPS_300, (6, 6, 6, 6, 4, 4), 300),
    "COCO300, 8732": (COCO_300, STEPS_300, MAPS_300, (4, 6, 6, 6, 4, 4), 300),
    "VOC512, 24564": (VOC_512, STEPS_512, MAPS_512, (4, 6, 6, 6, 6, 4, 4), 512),
}
SUMS = {
    "VOC300, 8732": (8732, 4443.1467, 4443.1467, 1510.1480, 1510.1480),
    "VOC300, 11620": (11620, 5906.4, 5906.4, 1843.6255, 1843.6255),
    "COCO300, 8732": (8732, 4443.1467, 4443.1467, 1171.9677, 1171.9677),
    "VOC512, 24564": (24564, 12282.0, 12282.0, 3144.9986, 3144.9986),
}


def table(name: str) -> torch.Tensor:
    sizes, steps, maps, boxes, side = TABLES[name]
    priors = tuple(
        LevelPriors(step=step, min_size=low, max_size=high, ratios=(2, 3)[: (count - 2) // 2])
        for step, (low, high), count in zip(steps, itertools.pairwise(sizes), boxes, strict=True)
    )
    return default_boxes(priors, tuple(Level(1, size, size) for size in maps), side)


@pytest.mark.parametrize("name", TABLES)
def test_the_papers_tables(name: str) -> None:
    boxes = table(name)
    count, *sums = SUMS[name]
    assert boxes.shape == (count, 4)
    assert boxes.dtype == torch.float32
    assert boxes.double().sum(0).tolist() == pytest.approx(sums, abs=5e-4)
    assert boxes.min() >= 0
    assert boxes.max() <= 1


def test_first_and_last_boxes_of_voc300() -> None:
    boxes = table("VOC300, 11620")
    sizes = [
        (0.1, 0.1),
        (0.141421, 0.141421),
        (0.141421, 0.070711),
        (0.070711, 0.141421),
        (0.173205, 0.057735),
        (0.057735, 0.173205),
    ]
    expected = torch.tensor([(0.013333, 0.013333, w, h) for w, h in sizes])
    assert boxes[:6] == pytest.approx(expected, abs=1e-6)
    assert boxes[-1].tolist() == pytest.approx([0.5, 0.5, 0.622254, 1.0], abs=1e-6)


def test_boxes_are_ordered_by_row_column_shape() -> None:
    priors = LevelPriors(step=10, min_size=4, max_size=16, ratios=())
    boxes = level_priors(priors, Level(1, 2, 2), input_size=20)
    centres = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    expected = [(*centre, side, side) for centre in centres for side in (0.2, 0.4)]
    assert boxes.tolist() == [pytest.approx(row) for row in expected]


def test_a_rectangle_has_squares_and_a_step_for_each_axis() -> None:
    priors = LevelPriors(step=(10, 20), min_size=4, max_size=16, ratios=())
    boxes = level_priors(priors, Level(1, 2, 3), input_size=(20, 60))
    centres = [(x, y) for y in (0.25, 0.75) for x in (1 / 6, 3 / 6, 5 / 6)]
    expected = [(*centre, side / 60, side / 20) for centre in centres for side in (4, 8)]
    assert boxes.tolist() == [pytest.approx(row) for row in expected]


def test_points_lie_in_the_middle_of_cells_with_strides_as_sides() -> None:
    points = (LevelPoints(step=8), LevelPoints(step=(10, 16)))
    boxes = default_boxes(points, (Level(1, 2, 3), Level(1, 1, 1)), (20, 24))
    first = [(x / 24, y / 20, 8 / 24, 8 / 20) for y in (4, 12) for x in (4, 12, 20)]
    expected = [*first, (8 / 24, 5 / 20, 16 / 24, 10 / 20)]
    assert boxes.tolist() == [pytest.approx(row) for row in expected]


def test_points_outside_of_the_input_stay_there() -> None:
    boxes = default_boxes((LevelPoints(step=128),), (Level(1, 7, 10),), (800, 1280))
    assert boxes[-1].tolist() == pytest.approx([9.5 * 128 / 1280, 6.5 * 128 / 800, 0.1, 0.16])
    assert boxes[-1, 1] > 1


def test_a_ratio_keeps_the_area_of_the_smaller_square() -> None:
    priors = LevelPriors(step=100, min_size=20, max_size=30, ratios=(2, 3))
    boxes = level_priors(priors, Level(1, 1, 1), input_size=100).double()
    areas = boxes[:, 2:].prod(1)
    assert areas.tolist() == pytest.approx([0.04, 0.06, 0.04, 0.04, 0.04, 0.04], rel=1e-5)
    ratios = boxes[:, 2] / boxes[:, 3]
    assert ratios.tolist() == pytest.approx([1, 1, 2, 1 / 2, 3, 1 / 3], rel=1e-5)


def test_what_overhangs_is_clamped_number_by_number() -> None:
    priors = LevelPriors(step=30, min_size=8, max_size=32, ratios=(4,))
    boxes = level_priors(priors, Level(1, 2, 2), input_size=10)
    assert boxes[0].tolist() == pytest.approx([1, 1, 0.8, 0.8])
    assert boxes[2].tolist() == pytest.approx([1, 1, 1, 0.4])
