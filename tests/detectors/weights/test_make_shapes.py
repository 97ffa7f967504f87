from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from detectors.backbones import build_backbone
from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.weights.make_shapes import TAPS, Trunk, pixel_labels, train
from detectors.weights.place import place
from detectors.weights.shapes import save_backbone
from searchspace.backbones import MobileNetV1


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    config = ShapesConfig(train_images=3, val_images=1, size=96, seed=1)
    folder = generate_shapes(tmp_path_factory.mktemp("shapes") / "set", config)
    return read_source(DataSource.from_folder(folder))[0]


def test_pixels_of_objects_are_labelled_and_small_ones_weigh_more(split: Dataset) -> None:
    labels, weights = pixel_labels(split)
    assert labels.shape == weights.shape == (3, 96, 96)
    for index, image in enumerate(split.images):
        objects = split.annotations[image.id]
        assert set(labels[index].unique().tolist()) - {0} == {
            split.label_of(a.category_id) for a in objects
        }
        heaviest = min(3.0, 60 / min(a.area for a in objects) ** 0.5)
        assert weights[index].max().item() == pytest.approx(heaviest)
        assert weights[index][labels[index] == 0].unique().tolist() == pytest.approx([0.3])


def test_a_trained_trunk_fills_backbones_of_any_stride(split: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trunk = Trunk(0.125, split.num_classes)
    before = trunk.backbones[0].layer5[1][0].weight.detach().clone()
    train(trunk, split, seconds=0.01)
    first, *others = trunk.backbones
    assert not torch.equal(first.layer5[1][0].weight, before)
    assert all(other.layer5[1][0].weight is first.layer5[1][0].weight for other in others)

    save_backbone(first, tmp_path / "backbone.safetensors")
    fresh = build_backbone(MobileNetV1(eliminated_strides=(4,), taps=TAPS), 0.125)
    placement = place(fresh, load_file(tmp_path / "backbone.safetensors"))
    assert (placement.unplaced, placement.sliced) == ((), ())
    assert torch.allclose(fresh.layer5[1][0].weight, first.layer5[1][0].weight, atol=1e-3)
