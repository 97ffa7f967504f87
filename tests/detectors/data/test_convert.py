"""Data written anew in another format have the same images, classes and boxes."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from detectors.data.convert import convert
from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from searchspace.errors import InputError
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


@pytest.mark.parametrize("form", ["yolo", "voc", "coco"])
@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.jpg", "A.bmp"),
        ("a/b.png", "a_b.png", "a_b_2.png"),
        ("images/a.png", "deep/images/a.png", "Images/b.png"),
        ("100% [x] ü & 🐟.png", "a.b.png", "a.c.png"),
        ("plain", "plain.png", "b.v2"),
    ],
)
def test_no_image_takes_the_annotations_of_another(
    tmp_path: Path, form: str, names: tuple[str, ...]
) -> None:
    root = tmp_path / "data"
    for name in ("train", "val"):
        png = [f"{number}.png" for number in range(len(names))]
        coco(root / f"annotations/instances_{name}.json", root / name, png)
        file = root / f"annotations/instances_{name}.json"
        document = json.loads(file.read_text())
        for number, (image, own) in enumerate(zip(document["images"], names, strict=True)):
            place = root / name / own
            place.parent.mkdir(parents=True, exist_ok=True)
            (root / name / image["file_name"]).rename(place)
            image["file_name"] = own
            document["annotations"][number]["bbox"][0] = 2 * number  # no two are alike
        file.write_text(json.dumps(document))
    splits = read_source(DataSource.from_folder(root))
    convert(*splits, tmp_path / "out", form)
    assert content(read_source(DataSource.from_folder(tmp_path / "out"))) == content(splits)


def test_what_cannot_be_written_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = read_source(DataSource.from_folder(folder))

    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", link)
    with pytest.raises(InputError, match="is on another file system than the images: copy them"):
        convert(*splits, tmp_path / "out", "coco", link=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    convert(*splits, tmp_path / "out", "coco")


def test_what_a_format_has_no_room_for_is_counted(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("annotations/*"):
        document = json.loads(file.read_text())
        document["categories"].append({"id": 7, "name": "screw"})
        document["annotations"][0]["iscrowd"] = 1
        file.write_text(json.dumps(document))
    splits = read_source(DataSource.from_folder(folder))
    unused = "1 class without an object"
    lost = {form: convert(*splits, tmp_path / form, form).lost for form in ("coco", "yolo", "voc")}
    assert lost == {"coco": (), "yolo": ("2 ignore regions",), "voc": ("2 ignore regions", unused)}
