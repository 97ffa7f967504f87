"""The benchmark of tiles: its scenes, and the variants that it compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import tile_scenes, tiles
from benchmarks.equal_training import config_of
from detectors.data.readers import DataSource
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from launch.trial.data import TrialData
from searchspace import load_space


@pytest.fixture(autouse=True)
def small_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_scenes, "SIDE", 128)
    monkeypatch.setattr(tile_scenes, "CELLS", 2)


def read(folder: Path) -> TrialData:
    data = TrialData.read(DataSource.from_folder(folder))
    assert not data.train.warnings
    assert data.image_size == (128, 128)
    return data


def test_scenes_are_valid_and_their_objects_are_reduced(tmp_path: Path) -> None:
    data = read(tile_scenes.scenes(tmp_path, 3, 4))
    assert (len(data.train.images), len(data.val.images)) == (3, 1)
    items = [item for rows in data.train.annotations.values() for item in rows]
    assert len(items) > 10
    sides = [min(i.box[2] - i.box[0], i.box[3] - i.box[1]) for i in items]
    assert min(sides) < 10  # The generator draws none as small.


def test_empty_cells_are_sky(tmp_path: Path) -> None:
    data = read(tile_scenes.scenes(tmp_path, 3, 1))
    for image in data.train.images:
        centres = [
            np.mean(np.reshape(i.box, (2, 2)), 0) // 64 for i in data.train.annotations[image.id]
        ]
        [filled] = {tuple(centre.astype(int)) for centre in centres}
        pixels = np.asarray(Image.open(image.path)).astype(float)
        for x, y in {(0, 0), (0, 1), (1, 0), (1, 1)} - {filled}:
            assert pixels[64 * y : 64 * y + 64, 64 * x : 64 * x + 64].std() < 40


def test_crops_of_given_images_keep_the_objects_that_are_seen(tmp_path: Path) -> None:
    folder = generate_shapes(tmp_path / "given", ShapesConfig(4, 2, 96))
    data = read(tile_scenes.scenes(tmp_path, 3, 4, folder))
    given = TrialData.read(DataSource.from_folder(folder))
    assert data.train.categories == given.train.categories
    for items in data.train.annotations.values():
        assert all(0 <= i.box[0] < i.box[2] <= 128 for i in items)


def test_every_variant_is_a_detector_of_the_space() -> None:
    space = load_space("quick")
    found = {name: config_of(space, 4, given) for name, given in tiles.VARIANTS.items()}
    parts = {
        name: len(config.detector.canvas.windows((2048, 2048))) for name, config in found.items()
    }
    assert parts["whole, 512 px"] == 1
    assert parts["2x2 tiles, 256 px"] == 4
    assert parts["4x4 tiles and whole, 256 px"] == 17
    assert found[tiles.LOOKS_FIRST].detector.canvas.tiles.threshold == 0.1


@pytest.mark.slow
def test_a_search_over_the_threshold_of_the_first_look(tmp_path: Path) -> None:
    """It draws thresholds alone, and looks at fewer tiles the higher they are."""
    data = read(tile_scenes.scenes(tmp_path, 3, 1))
    variant = tiles.VARIANTS[tiles.LOOKS_FIRST]
    config = data.decide(config_of(load_space("quick"), data.train.num_classes, variant))
    detector = Detector(config.detector, data.classes)
    results = tiles.searched(detector, config, data, tmp_path / "search")
    assert len(results) == tiles.PROPOSALS
    assert len({result.name for result in results}) > 5
    ordered = sorted(results, key=lambda result: float(result.name.split()[-1]))
    parts = [result.cost.inputs for result in ordered]
    assert parts == sorted(parts, reverse=True)
    assert all(1 <= count <= 17 for count in parts)
