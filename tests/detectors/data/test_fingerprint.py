from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detectors.data.dataset import Category, Dataset, ImageRecord
from detectors.data.reading import read_split


def shuffle_everything(folder: Any) -> None:
    for section in ("images", "annotations", "categories"):
        entries = folder.document[section]
        folder.document[section] = [dict(reversed(entry.items())) for entry in reversed(entries)]
    folder.document = dict(reversed(folder.document.items()))


def spell_numbers_otherwise(folder: Any) -> None:
    folder.document["annotations"][0]["bbox"] = [1.0, 2.0, 10.0, 20.0]
    folder.document["annotations"][0]["segmentation"] = [[1.0, 2.0, 11.0, 2.0, 11.0, 22.0]]


def add_unknown_keys(folder: Any) -> None:
    folder.document["licenses"] = [{"id": 1}]
    folder.document["annotations"][0]["attributes"] = {"occluded": True}


@pytest.mark.parametrize("change", [shuffle_everything, spell_numbers_otherwise, add_unknown_keys])
def test_the_fingerprint_ignores_how_the_file_is_written(
    coco_folder: Any, change: Callable[[Any], None]
) -> None:
    before = read_split(coco_folder.save())
    change(coco_folder)
    after = read_split(coco_folder.save())

    assert after == before
    assert after.fingerprint == before.fingerprint


def test_the_fingerprint_ignores_where_the_folder_lies(coco_folder: Any, tmp_path: Path) -> None:
    before = read_split(coco_folder.save()).fingerprint
    coco_folder.root = shutil.move(coco_folder.root, tmp_path / "elsewhere")

    assert read_split(coco_folder.save()).fingerprint == before


def set_in(section: str, index: int, **values: Any) -> Callable[[Any], None]:
    return lambda folder: folder.document[section][index].update(values)


def change_a_pixel(folder: Any) -> None:
    with Image.open(folder.images / "c.png") as image:
        red, green, blue = image.getpixel((3, 3))
        image.putpixel((3, 3), (red ^ 1, green, blue))
        image.save(folder.images / "c.png")


def rename_a_file(folder: Any) -> None:
    (folder.images / "c.png").rename(folder.images / "d.png")
    folder.document["images"][2]["file_name"] = "d.png"


def move_a_file(folder: Any) -> None:
    (folder.images / "c.png").rename(folder.images / "sub" / "c.png")
    folder.document["images"][2]["file_name"] = "sub/c.png"


CHANGES = {
    "a box moved": set_in("annotations", 1, bbox=[5.25, 5, 4, 4]),
    "another class": set_in("annotations", 1, category_id=3),
    "another image": set_in("annotations", 1, image_id=20),
    "a crowd": set_in("annotations", 1, iscrowd=1),
    "another area": set_in("annotations", 1, area=15),
    "a polygon moved": set_in("annotations", 0, segmentation=[[1, 2, 11, 2, 11, 21]]),
    "an annotation less": lambda folder: folder.document["annotations"].pop(),
    "an image less": lambda folder: folder.document["images"].pop(),
    "a class renamed": set_in("categories", 0, name="hound"),
    "a class more": lambda folder: folder.document["categories"].append({"id": 9, "name": "x"}),
    "a pixel": change_a_pixel,
    "a file renamed": rename_a_file,
    "a file moved": move_a_file,
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_fingerprint_sees_what_training_sees(coco_folder: Any, name: str) -> None:
    before = read_split(coco_folder.save()).fingerprint
    CHANGES[name](coco_folder)

    assert read_split(coco_folder.save()).fingerprint != before


def test_what_was_skipped_does_not_count_for_the_fingerprint(coco_folder: Any) -> None:
    before = read_split(coco_folder.save()).fingerprint
    coco_folder.document["annotations"].append({"id": 99})

    assert read_split(coco_folder.save(), skip_bad="anyway").fingerprint == before


def test_a_split_made_by_hand_has_no_fingerprint() -> None:
    image = ImageRecord(1, Path("/a.png"), 4, 4)
    split = Dataset((image,), (Category(1, "a"),), {1: ()})

    with pytest.raises(ValueError, match=r"image id 1 \(/a\.png\)"):
        _ = split.fingerprint
