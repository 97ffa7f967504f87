"""Pictures of errors: which part of an image is shown."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from detectors.data.dataset import ImageRecord
from detectors.evaluation.judged import Judged
from launch.report.side_by_side import GAP, LEAST_SIDE, side_by_side, window

BLUE, RED = (0, 0xB7, 0xFF), (0xFF, 0x6F, 0x61)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=float).reshape(-1, 4)


@pytest.mark.parametrize(
    ("size", "errors", "shown"),
    [
        ((400, 300), boxes((5, 5, 9, 9)), (0, 0, 400, 300)),
        ((2000, 1000), boxes(), (0, 0, 2000, 1000)),
        ((2000, 1000), boxes((100, 100, 900, 800)), (0, 0, 2000, 1000)),
        ((2000, 1000), boxes((1990, 500, 10, 10)), (1680, 345, 2000, 665)),
        (
            (2000, 1000),
            boxes((10, 10, 10, 10), (1000, 500, 10, 10), (1100, 600, 10, 10)),
            (845, 345, 1165, 665),
        ),
        ((2000, 200), boxes((1000, 50, 10, 10)), (845, 0, 1165, 200)),
    ],
)
def test_of_a_large_image_the_part_with_the_most_small_errors_is_shown(size, errors, shown):
    assert window(size, errors) == shown


def test_objects_and_detections_lie_where_they_are_in_the_part(tmp_path):
    file = tmp_path / "image.png"
    Image.new("RGB", (1600, 800), "black").save(file)
    record = ImageRecord(id=1, path=file, width=1600, height=800)
    judged = Judged(
        names=("dot",), images=np.array([0]), labels=np.array([0]), scores=np.array([0.9]),
        boxes=boxes((1300, 400, 20, 20)), right=np.array([False]), items=np.array([-1]),
        item_images=np.array([0]), item_labels=np.array([0]), item_boxes=boxes((20, 20, 20, 20)),
        count=1,
    )  # fmt: skip
    picture = np.asarray(side_by_side(record, 0, [judged]))
    assert picture.shape == (LEAST_SIDE, 2 * LEAST_SIDE + GAP, 3)
    assert not (picture == BLUE).all(-1).any()  # The object is too far away.
    rows, columns = np.nonzero((picture[:, LEAST_SIDE + GAP :] == RED).all(-1))
    # The 20 pixels of the detection lie in the middle, its text above them.
    assert abs(columns.min() - 150) <= 1
    assert abs(rows.max() - 170) <= 1

    blind = judged.above(np.array([1.0]))
    picture = np.asarray(side_by_side(record, 0, [blind]))
    rows, columns = np.nonzero((picture == BLUE).all(-1))
    assert abs(columns.min() - 20) <= 1
    assert abs(rows.max() - 40) <= 1
    assert not (picture == RED).all(-1).any()
