"""Detections drawn on images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectors.data import images
from detectors.data.reading import read_unannotated
from detectors.evaluation.results import Results
from launch.report import drawing
from launch.report.drawing import COLOURS, draw_results, load_picture


@pytest.mark.parametrize(("large", "scale"), [(25.0, 1.0), (0.01, 0.5)])
def test_boxes_lie_on_what_they_mark_on_reduced_pictures_too(
    large: float, scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LARGE", large)
    monkeypatch.setattr(drawing, "load_picture", lambda *image: load_picture(*image, side=200))
    Image.new("RGB", (400, 300)).save(tmp_path / "a.png")
    split = read_unannotated(tmp_path, None, ("dot",))
    found = Results(
        images=np.array([split.images[0].id]),
        categories=np.array([split.categories[0].id]),
        boxes=np.array([[200.0, 100, 100, 150]]),
        scores=np.array([0.9]),
    )
    draw_results(found, split, tmp_path / "drawn")
    picture = Image.open(tmp_path / "drawn" / "a.png")
    assert picture.size == (400 * scale, 300 * scale)
    colour = [int(COLOURS[0][k : k + 2], 16) for k in (1, 3, 5)]
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(-1))
    ends = (columns.min(), columns.max(), rows.max())
    assert ends == pytest.approx([scale * end for end in (200, 300, 250)], abs=1)
