"""The benchmark of tiles: its scenes, and the variants that it compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import tiles
from benchmarks.equal_training import config_of
from detectors.data.readers import DataSource
from launch.trial.data import TrialData
from searchspace import load_space


def test_scenes_are_valid_and_their_objects_are_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "SIDE", 128)
    monkeypatch.setattr(tiles, "CELLS", 2)
    folder = tiles.scenes(tmp_path, 3)
    data = TrialData.read(DataSource.from_folder(folder))
    assert (len(data.train.images), len(data.val.images)) == (3, 1)
    items = [item for rows in data.train.annotations.values() for item in rows]
    assert len(items) > 10
    assert data.image_size == (128, 128)
    sides = [min(i.box[2] - i.box[0], i.box[3] - i.box[1]) for i in items]
    assert min(sides) < 10  # The generator draws none as small.
    assert not data.train.warnings


def test_every_variant_is_a_detector_of_the_space() -> None:
    space = load_space("quick")
    found = {name: config_of(space, 4, given) for name, given in tiles.VARIANTS.items()}
    parts = {
        name: len(config.detector.canvas.windows((2048, 2048))) for name, config in found.items()
    }
    assert parts["whole, 512 px"] == 1
    assert parts["2x2 tiles, 256 px"] == 4
    assert parts["4x4 tiles and whole, 256 px"] == 17
    assert found["4x4 tiles after a first look, 256 px"].detector.canvas.tiles.threshold == 0.1
