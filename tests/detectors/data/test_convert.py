"""Data written anew in another format have the same images, classes and boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detectors.data.convert import convert
from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from tests.detectors.data.test_finding import coco


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """COCO files; both splits have an image of one name, one in a folder below."""
    root = tmp_path / "data"
    for name in ("train", "val"):
        names = ["a.png", "deep/b.png"]
        coco(root / f"annotations/instances_{name}.json", root / name, names)
    return root


def content(splits: tuple[Dataset, ...]) -> list[Any]:
    """By split, the pixels' hashes with the class and box of each object."""
    return [
        sorted(
            (
                split.files[image.id].sha256,
                [
                    (
                        split.categories[split.label_of(item.category_id) - 1].name,
                        item.difficult,
                        tuple(round(side, 4) for side in item.box),
                    )
                    for item in split.annotations[image.id]
                ],
            )
            for image in split.images
        )
        for split in splits
    ]


@pytest.mark.parametrize("way", ["yolo", "voc", "coco", "yolo coco", "voc yolo", "yolo voc coco"])
def test_a_round_trip_keeps_images_classes_and_boxes(
    folder: Path, tmp_path: Path, way: str
) -> None:
    splits = read_source(DataSource.from_folder(folder))
    before = content(splits)
    for number, form in enumerate(way.split()):
        out = tmp_path / f"{number}"
        written = convert(*splits, out, form)
        assert (written.images, written.objects, written.lost) == (4, 4, ())
        source = DataSource.from_folder(out)
        assert source.train.reader == form
        splits = read_source(source)
        assert content(splits) == before
        assert [c.name for c in splits[0].categories] == ["bolt", "nut"]
