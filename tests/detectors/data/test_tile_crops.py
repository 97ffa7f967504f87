"""Training on parts of images at the scale of the tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from detectors.data.bound import training_form
from detectors.data.dataset import Dataset
from detectors.data.images import load_image
from detectors.data.pixels import WHOLE
from detectors.data.samples import TrainingSet
from detectors.data.scene import Layer
from detectors.data.tile_crops import crop_for
from searchspace.augmentation import Augment, CopyPaste
from searchspace.geometry import Canvas
from searchspace.tiles import Tiled, TileGrid, TileSize
from searchspace.training import TrainConfig

PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0, min_side=0)


def samples_of(split: Dataset, tiles: Tiled, pastes: float = 0.0, side: int = 48) -> TrainingSet:
    paste = CopyPaste(probability=pastes, source="box", max_area=1e6)
    recipe = TrainConfig(augment=PLAIN, copy_paste=paste)
    return TrainingSet(split, recipe, Canvas((side, side), "stretch", tiles), seed=0)


def corner(layer: Layer) -> tuple[int, int]:
    """(left, top) of the part of an image that a sample shows at its own scale."""
    x, y = (-layer.matrix[:, 2]).tolist()
    return int(x), int(y)


def test_a_sample_is_a_part_of_the_image_with_its_objects(shapes: tuple[Dataset, Dataset]) -> None:
    split = shapes[0]
    samples = samples_of(split, TileSize(side=48, visible=0.5))
    places = set()
    for epoch in range(4):
        for index, record in enumerate(split.images):
            drawn = samples.drawn(index, epoch)
            (layer,) = drawn.scene.layers
            left, top = corner(layer)
            places.add((left, top))
            whole = load_image(record.path, record.width, record.height)
            part = whole[:, top : top + 48, left : left + 48]
            assert torch.equal(samples.images([drawn])[0], part)
            expected = []
            for item in split.annotations[record.id]:
                box = np.array(item.box) - (left, top) * 2
                inside = box.clip(0, 48)
                if np.prod(inside[2:] - inside[:2]) >= 0.5 * np.prod(box[2:] - box[:2]):
                    expected.append((*inside, item.area))
            found = np.column_stack((drawn.scene.boxes, drawn.target["area"]))
            np.testing.assert_allclose(found, np.array(expected).reshape(-1, 5), rtol=1e-6)
    assert len(places) > 20


def test_how_often_a_part_holds_an_object() -> None:
    """One object of 10 pixels in an image of 400 x 100 with tiles of 100: a part that lies anywhere
    has all of it in 90 of 301 places."""
    rng, box = np.random.default_rng(0), np.array([[200.0, 40.0, 210.0, 50.0]])

    def share(tiles: Tiled) -> float:
        found = [crop_for(box, (100, 400), tiles, rng) for _ in range(1000)]
        return sum(f is not None and f.left <= 200 and f.left + 100 >= 210 for f in found) / 1000

    cut = TileSize(side=100, with_objects=0.0)
    assert share(cut) == pytest.approx(91 / 301, abs=0.05)
    assert share(cut.changed(with_objects=1.0)) == 1
    assert share(cut.changed(with_objects=0.5)) == pytest.approx(0.5 + 0.5 * 91 / 301, abs=0.05)


def test_the_whole_image_is_as_likely_as_any_tile_where_it_is_looked_at() -> None:
    rng, none = np.random.default_rng(0), np.zeros((0, 4))
    for tiles, share in ((TileGrid(rows=2, columns=2, whole=True), 1 / 5), (TileGrid(), 0.0)):
        found = [crop_for(none, (300, 300), tiles, rng) for _ in range(1000)]
        assert found.count(None) / 1000 == pytest.approx(share, abs=0.04)
    assert crop_for(none, (16, 16), TileSize(side=640, whole=True), rng) is None


def test_an_object_longer_than_a_tile_has_its_middle_there() -> None:
    rng, box = np.random.default_rng(0), np.array([[50.0, 0.0, 350.0, 100.0]])
    tiles = TileSize(side=100, with_objects=1.0)
    for _ in range(50):
        window = crop_for(box, (100, 400), tiles, rng)
        assert window is not None
        assert window.left <= 200 <= window.left + 100


def test_objects_are_pasted_within_the_part(shapes: tuple[Dataset, Dataset]) -> None:
    pasted = 0
    samples = samples_of(shapes[0], TileSize(side=64), pastes=1.0, side=64)
    for index in range(len(samples)):
        scene = samples.drawn(index).scene
        added = scene.boxes[scene.target["pasted"]]
        (layer,) = scene.layers
        assert len(layer.source.pastes) == len(added)
        pasted += len(added)
        assert (added >= 0).all()
        assert (added <= 64).all()
    assert pasted


def test_images_that_are_cut_stay_at_full_resolution(shapes: tuple[Dataset, Dataset]) -> None:
    large = [replace(image, width=9000, height=9000) for image in shapes[0].images]
    canvas = Canvas((64, 64))
    assert training_form(large, TrainConfig(), canvas) != WHOLE
    assert training_form(large, TrainConfig(), replace(canvas, tiles=TileGrid())) == WHOLE
