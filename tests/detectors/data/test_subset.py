from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detectors.data.readers import Split
from detectors.data.reading import read_split
from detectors.data.subset import cut_annotations
from detectors.data.validation import DataError

MINI = Path(__file__).parents[3] / "../shared/data/coco_mini"
ANNOTATIONS = MINI / "annotations/instances_train.json"

needs_mini = pytest.mark.skipif(not MINI.exists(), reason=f"{MINI} is not there")


@pytest.fixture(scope="module")
def mini() -> dict[str, Any]:
    return json.loads(ANNOTATIONS.read_text())


def image_ids(document: dict[str, Any]) -> list[int]:
    return [image["id"] for image in document["images"]]


@needs_mini
def test_classes_and_images_are_cut_and_the_rest_stays(mini: dict[str, Any]) -> None:
    ids = {c["id"]: c["name"] for c in mini["categories"] if c["name"] in ("person", "car")}
    cut = cut_annotations(ANNOTATIONS, ["person", "car"])
    assert [c["name"] for c in cut["categories"]] == ["person", "car"]
    wanted = [a for a in mini["annotations"] if a["category_id"] in ids]
    assert cut["annotations"] == wanted
    holding = {a["image_id"] for a in wanted if not a["iscrowd"]}
    assert 10 < len(holding) < len(mini["images"])
    assert cut["images"] == [image for image in mini["images"] if image["id"] in holding]
    assert cut["info"] == mini["info"] | {
        "subset": {"classes": ["car", "person"], "count": None, "seed": 0, "all_images": False}
    }
    assert {k: v for k, v in cut.items() if k not in ("info", "images", "annotations")} == {
        k: v if k != "categories" else cut["categories"]
        for k, v in mini.items()
        if k not in ("info", "images", "annotations")
    }


@needs_mini
def test_fewer_images_are_part_of_more_and_seeds_differ() -> None:
    def cut(count: int, seed: int) -> list[int]:
        return image_ids(cut_annotations(ANNOTATIONS, ["person", "car"], count, seed))

    ten, twenty = cut(10, 0), cut(20, 0)
    assert (len(ten), len(twenty)) == (10, 20)
    assert ten == [image for image in twenty if image in set(ten)]
    assert ten == cut(10, 0)
    assert set(ten) != set(cut(10, 1))
    assert ten != twenty[:10]  # chosen all over the file


@needs_mini
def test_a_validation_set_keeps_all_images(mini: dict[str, Any]) -> None:
    cut = cut_annotations(ANNOTATIONS, ["person", "car"], all_images=True)
    assert cut["images"] == mini["images"]
    assert len(cut_annotations(ANNOTATIONS, ["car"], 50, all_images=True)["images"]) == 50


@needs_mini
def test_the_subset_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "cut.json"
    cut = cut_annotations(ANNOTATIONS, ["person", "car"], 12)
    file.write_text(json.dumps(cut))
    split = read_split(Split(MINI / "train", file))
    assert [image.id for image in split.images] == sorted(image_ids(cut))
    assert [category.name for category in split.categories] == ["person", "car"]
    assert all(any(not a.iscrowd for a in split.annotations[image.id]) for image in split.images)


def written(folder: Path, **changes: object) -> Path:
    """A file of four images: a dog, a crowd of dogs, a cat, nothing."""
    boxes = {1: (7, 0), 2: (7, 1), 3: (3, 0)}
    document = {
        "images": [
            {"id": k, "file_name": f"{k}.png", "width": 9, "height": 9} for k in range(1, 5)
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": k, "image_id": k, "category_id": c, "bbox": [1, 1, 3, 3], "iscrowd": crowd}
            for k, (c, crowd) in boxes.items()
        ],
    }
    file = folder / "all.json"
    file.write_text(json.dumps(document | changes))
    return file


def test_an_image_with_ignore_regions_only_is_not_chosen(tmp_path: Path) -> None:
    cut = cut_annotations(written(tmp_path), ["dog"])
    assert image_ids(cut) == [1]
    assert [a["id"] for a in cut["annotations"]] == [1]
    every = cut_annotations(written(tmp_path), ["dog"], all_images=True)
    assert image_ids(every) == [1, 2, 3, 4]
    assert [a["id"] for a in every["annotations"]] == [1, 2]


def test_what_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    with pytest.raises(ValueError, match=r"no class named 'bird', 'cow'; it has 'cat', 'dog'"):
        cut_annotations(file, ["dog", "cow", "bird"])
    with pytest.raises(ValueError, match=r"3 images were requested, but only 2"):
        cut_annotations(file, ["dog", "cat"], count=3)
    bad = written(tmp_path, annotations=[{"id": 5, "image_id": [1], "category_id": 7}])
    with pytest.raises(DataError, match=r"annotations\[0\] id 5: image_id is \[1\]"):
        cut_annotations(bad, ["dog"])
    bad.write_text('{"images": [{"id": 1}], "annotations": []}')
    with pytest.raises(DataError, match="categories: is missing"):
        cut_annotations(bad, ["dog"])
