"""Detection in tiles held to that of a library for it, box by box: `pip install sahi`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.models import PLAIN, Model
from launch.cli.calibration import Pictures
from searchspace import load_space
from searchspace.tiles import Merge, TileSize
from tests.detectors.deployable import attentive


def model_of(detector: Detector) -> Model:
    return Model(Path("unused"), detector.eval(), PLAIN, torch.device("cpu"), None)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, list[np.ndarray]]:
    """A detector that finds things, and three images of 200 x 260 pixels."""
    folder = tmp_path_factory.mktemp("data")
    shapes = generate_shapes(folder / "shapes", ShapesConfig(8, 3, 260))
    config = load_space("quick").baseline().detector.changed(input_size=96)
    detector = attentive(config, Pictures.read(shapes / "train", 96).images)
    files = sorted((shapes / "val").iterdir())
    return detector, [np.asarray(Image.open(file).convert("RGB"))[:200] for file in files]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("merge", "whole"),
    [
        (Merge(by="nms"), False),
        (Merge(by="nms", per_class=False), True),
        (Merge(by="ios", per_class=False), False),
        (Merge(by="ios"), True),
    ],
)
def test_the_same_boxes_are_found(
    seeing: tuple[Detector, list[np.ndarray]], merge: Merge, whole: bool
) -> None:
    pytest.importorskip("sahi", reason="sahi is not installed")
    from benchmarks.sliced import Sliced, as_tensor, found_by_sahi

    plain, images = seeing
    tiles = TileSize(side=(96, 110), overlap=0.2, whole=whole, merge=merge)
    cut = Detector(plain.config.changed(tiles=tiles))
    cut.load_state_dict(plain.state_dict())
    ours, theirs = model_of(cut), Sliced(model_of(plain))
    for image in images:
        [found] = ours.detect([as_tensor(image)])
        rows = found_by_sahi(theirs, image, tiles)[: len(found["scores"])]
        assert len(rows) > 20
        np.testing.assert_allclose(found["scores"], [row[0] for row in rows], atol=1e-5)
        assert found["labels"].tolist() == [row[1] for row in rows]
        np.testing.assert_allclose(found["boxes"], [row[2] for row in rows], atol=1e-2)
