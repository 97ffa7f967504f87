"""Data as tools and people write them: what is read, what is said, and what stays refused."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectors.data.dataset import Dataset
from detectors.data.images import ImageFacts
from detectors.data.readers import Split
from detectors.data.reading import read_split
from detectors.data.subset import cut_annotations
from detectors.data.validation import DataError

FACTS = ImageFacts((100, 80), (100, 80), 1, "0" * 64)


def annotation(number: int, image: object = 1, **more: Any) -> dict[str, Any]:
    box = {"bbox": [5 * number, 10, 20 + number, 30], "area": 30 * (20 + number)}
    return {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0} | box | more


def written(folder: Path, **lists: list[Any]) -> Split:
    """A COCO file; images are empty files that `read` does not open."""
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
        "categories": [{"id": 1, "name": "bolt"}],
        "annotations": [annotation(1)],
    } | lists
    images = folder / "images"
    images.mkdir(exist_ok=True)
    (images / "a.png").touch()
    (folder / "set.json").write_text(json.dumps(document))
    return Split(images, folder / "set.json")


def inspected(path: Path) -> ImageFacts:
    path.stat()
    return FACTS


def read(split: Split, **how: Any) -> Dataset:
    return read_split(split, inspect=inspected, **how)


def objects(split: Dataset) -> list[Any]:
    return [item for items in split.annotations.values() for item in items]


# ---- Paths


def named(folder: Path, name: str, *files: str) -> Split:
    """One image entry with a name, and files in the image folder."""
    split = written(folder, images=[{"id": 1, "file_name": name, "width": 100, "height": 80}])
    (split.images / "a.png").unlink()
    for file in files:
        (split.images / file).parent.mkdir(parents=True, exist_ok=True)
        (split.images / file).touch()
    return split


@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        ("part\\b.png", "part/b.png", "write '/'"),
        ("C:\\data\\part\\b.png", "part/b.png", "strip"),
        ("/data/upload/7/b.png", "b.png", "strip '/data/upload/7/'"),
        ("https://host/bucket/b%20c.png?token=1", "b c.png", "as it is on disk"),
        ("/data/local-files/?d=part/b.png", "part/b.png", "as it is on disk"),
        ("images/b.png", "b.png", "strip 'images/'"),
        ("b.png", "deep/er/b.png", "write the folder before"),
        ("x/two/b.png", "two/b.png", "strip 'x/'"),
        ("B.PNG", "b.png", "differs in case"),
        (unicodedata.normalize("NFC", "pürée.png"), unicodedata.normalize("NFD", "pürée.png"), "U"),
    ],
)
def test_a_name_is_read_as_the_one_file_that_it_can_mean(
    tmp_path: Path, name: str, file: str, words: str
) -> None:
    found = read(named(tmp_path, name, file))
    assert found.images[0].path == tmp_path / "images" / file
    [warning] = found.warnings
    assert words in warning.fix


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [
        ("..\\b.png", ["b.png"], "leaves the image folder"),
        ("part/../../b.png", ["b.png"], "leaves the image folder"),
        ("https://host/..%2f..%2fb.png", ["b.png"], "leaves the image folder"),
        ("/etc/passwd", [], "leaves the image folder"),
        ("b.png", ["one/b.png", "two/b.png"], "could mean 'one/b.png' or 'two/b.png'"),
        ("b.PNG", ["b.png", "B.png"], "could mean"),
        ("one/b.png", ["one/c.png", "two/b.png"], "does not exist"),
    ],
)
def test_a_name_that_leaves_or_could_mean_several_files_is_refused(
    tmp_path: Path, name: str, files: list[str], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read(named(tmp_path, name, *files))


def test_the_suffix_tells_files_of_one_name_apart(tmp_path: Path) -> None:
    split = named(tmp_path, "server/two/b.png", "one/b.png", "two/b.png")
    assert read(split).images[0].path == split.images / "two/b.png"


def test_two_names_are_never_read_as_one_file(tmp_path: Path) -> None:
    names = ("cam1/a.png", "cam2/a.png")
    size = {"width": 100, "height": 80}
    images = [{"id": n, "file_name": name, **size} for n, name in enumerate(names, 1)]
    with pytest.raises(DataError, match="taken already") as caught:
        read(written(tmp_path, images=images))
    assert len(caught.value.problems) == 2


def test_links_may_leave_the_folder_unless_they_shall_not(tmp_path: Path) -> None:
    split = written(tmp_path)
    (tmp_path / "store").touch()
    (split.images / "a.png").unlink()
    (split.images / "a.png").symlink_to(tmp_path / "store")
    assert len(read(split).images) == 1
    with pytest.raises(DataError, match=r"leaves the image folder .* by a link"):
        read(split, links=False)
    (tmp_path / "store").unlink()
    with pytest.raises(DataError, match=r"is a link to .*store', which does not exist"):
        read(split)


@pytest.mark.parametrize("box", [["5", "10.0", "21", "3e1"], [], None])
def test_a_box_may_be_text_or_that_around_a_mask(tmp_path: Path, box: object) -> None:
    mask = [[5, 10, 26, 10, 26, 40], [6, 11, 20, 11, 20, 30]]
    split = read(written(tmp_path, annotations=[annotation(1, bbox=box, segmentation=mask)]))
    assert [item.box for item in objects(split)] == [(5, 10, 26, 40)]
    assert ("the box around its mask is used" in str(split.warnings)) == (not box)


@pytest.mark.parametrize(
    ("found", "said"),
    [({"segments_info": []}, "are panoptic segments"), ({"caption": "a dog"}, "are captions")],
)
def test_annotations_of_other_tasks_are_refused_as_such(
    tmp_path: Path, found: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=f"{said}, without boxes; give the file of instances"):
        read(written(tmp_path, annotations=[{"image_id": 1, **found}]), skip_bad="anyway")


def test_boxes_that_are_corners_are_refused_as_such(tmp_path: Path) -> None:
    boxes = [[10 * n, 40, 10 * n + 25, 75] for n in range(1, 8)]
    lists = {"annotations": [annotation(n, bbox=box) for n, box in enumerate(boxes, 1)]}
    with pytest.raises(DataError, match=r"all 7 boxes lie in their images as \[left, top, right"):
        read(written(tmp_path, **lists), skip_bad="anyway")
    few = [annotation(n, bbox=[2, 3, 80, 70]) for n in range(1, 7)]
    few.append(annotation(7, bbox=[2, 3, 99.5, 70]))
    with pytest.raises(DataError, match=r"reaches 1\.5 px outside") as caught:
        read(written(tmp_path, annotations=few))
    assert len(caught.value.problems) == 1


# ---- Values


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["7", "9"], [7, 9]),
        ([7.0, 9.0], [7, 9]),
        (["frame_b", "frame_a"], [2, 1]),
        (["0b7c-77", 5], [6, 5]),
        ([7.5, 8], [9, 8]),
    ],
)
def test_ids_are_numbers_or_are_numbered(
    tmp_path: Path, ids: list[object], expected: list[int]
) -> None:
    size = {"width": 100, "height": 80}
    images = [{"id": key, "file_name": f"{n}.png", **size} for n, key in enumerate(ids)]
    split = written(tmp_path, images=images, annotations=[annotation(3, ids[0])])
    for n in range(len(ids)):
        (split.images / f"{n}.png").touch()
    found = read(split)
    assert {image.path.name: image.id for image in found.images} == {
        f"{n}.png": number for n, number in enumerate(expected)
    }
    assert [item.image_id for item in objects(found)] == [expected[0]]
    assert bool(found.warnings) == any(key not in (7, 9, "7", "9") for key in ids)


def test_an_annotations_id_never_costs_its_box(tmp_path: Path) -> None:
    ids = [0, 4, 4, "x", None, -1]
    entries = [annotation(n, id=key) for n, key in enumerate(ids)]
    found = read(written(tmp_path, annotations=entries))
    assert [item.id for item in objects(found)] == [4, 5, 6, 7, 8, 9]
    assert {w.cause for w in found.warnings} >= {"annotation id 0", "annotation id taken"}


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ({"width": -1, "height": -1}, 2),
        ({}, 2),
        ({"width": None, "height": None}, 2),
        ({"width": "100", "height": 80.0}, 0),
        ({"width": 100, "height": "?"}, 1),
        ({"width": 10**30, "height": True}, 2),
    ],
)
def test_sizes_left_open_are_taken_from_the_file(
    tmp_path: Path, sides: dict[str, Any], said: int
) -> None:
    found = read(written(tmp_path, images=[{"id": 1, "file_name": "a.png", **sides}]))
    assert (found.images[0].width, found.images[0].height) == (100, 80)
    assert len(found.warnings) == said


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "0", "false", ""])
def test_flags_are_read_as_tools_write_them(tmp_path: Path, value: object) -> None:
    entry = annotation(1, iscrowd=value, ignore=value)
    [item] = objects(read(written(tmp_path, annotations=[entry])))
    assert (item.iscrowd, item.category_id) == (False, 1)
    del entry["iscrowd"]
    assert not objects(read(written(tmp_path, annotations=[entry])))[0].iscrowd


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "true"])
def test_ignored_objects_are_regions_of_all_classes(tmp_path: Path, value: object) -> None:
    entries = [annotation(1), annotation(2, ignore=value)]
    _, region = objects(read(written(tmp_path, annotations=entries)))
    assert (region.iscrowd, region.category_id, region.scored) == (True, None, False)


def test_a_class_of_ignored_regions_is_none(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "ignored regions"}, {"id": 1, "name": "car"}]
    entries = [annotation(1), annotation(2, category_id=0)]
    found = read(written(tmp_path, categories=categories, annotations=entries))
    assert [category.name for category in found.categories] == ["car"]
    assert [item.category_id for item in objects(found)] == [1, None]
    assert [warning.cause for warning in found.warnings] == ["ignored class"]


MASKS = [
    [[]], [[1, 2, 3, 4]], [[1] * 7], [[1] * 5 + [float("inf")]], [1, 2, 3, 4, 5, 6], "x", {},
    [[1, 1, 9, 1, 9, 1e9]], {"counts": [600], "size": [30, 20]},
    {"counts": "PPYi", "size": [80, 100]}, {"counts": [7999], "size": [80, 100]},
    {"counts": None, "size": [80, 100]},
    {"counts": [8000], "size": [80.0, 100]}, [[5, 5, 9, 9, 13, 13]],
]  # fmt: skip


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_a_box_stays_when_its_mask_cannot_be_read(tmp_path: Path, mask: object) -> None:
    entries = [annotation(1, segmentation=mask), annotation(2, segmentation=[])]
    found = read(written(tmp_path, annotations=entries))
    assert [item.segmentation for item in objects(found)] == [None, None]
    [warning] = found.warnings
    assert "the mask is left out" in warning.fix


SQUARE = [[5, 10, 26, 10, 26, 40, 5, 40]]


@pytest.mark.parametrize(
    ("area", "mask", "expected"),
    [
        (630, None, 630),
        (400, None, 400),  # of a mask that was not exported
        (0, None, 630),
        (1, None, 630),
        (-5, None, 630),
        (0.004, None, 630),  # a share of the image
        (5000, None, 630),  # of a larger image
        (float("nan"), None, 630),
        ("x", None, 630),
        ("400", None, 400),
        (None, None, 630),
        (60, [[5, 10, 26, 40, 25, 40, 5, 11]], 60),  # a thin diagonal fills little of its box
        (1, SQUARE, 630),
        (None, SQUARE, 630),
        (160, SQUARE, 630),  # of an image of half the size
    ],
)
def test_areas_are_held_against_box_and_mask(
    tmp_path: Path, area: object, mask: object, expected: float
) -> None:
    more = {} if mask is None else {"segmentation": mask}
    found = read(written(tmp_path, annotations=[annotation(1, area=area, **more)]))
    [item] = objects(found)
    assert item.area == expected
    assert bool(found.warnings) == (area not in (expected, "400"))


@pytest.mark.parametrize("area", [lambda box: 100, lambda box: box / 4])
def test_areas_that_are_alike_for_all_boxes_are_not_believed(
    tmp_path: Path, area: Callable[[float], float]
) -> None:
    entries = [annotation(n, area=area(30 * (20 + n))) for n in range(1, 5)]
    found = read(written(tmp_path, annotations=entries))
    assert [item.area for item in objects(found)] == [630, 660, 690, 720]
    [warning] = found.warnings
    assert (warning.count, warning.fix) == (4, "the areas of the boxes are used")


def test_rotation_is_said_once(tmp_path: Path) -> None:
    entries = [annotation(n, attributes={"rotation": 30.0 * (n - 1)}) for n in (1, 2, 3)]
    [warning] = read(written(tmp_path, annotations=entries)).warnings
    assert (warning.count, warning.cause) == (2, "rotation")


# ---- What is dropped


def test_classes_of_one_name_are_refused_whatever_is_skipped(tmp_path: Path) -> None:
    categories = [{"id": n, "name": name} for n, name in enumerate(("bolt", "nut", "bolt "), 1)]
    with pytest.raises(DataError, match="ids 1 and 3 are all called 'bolt'"):
        read(written(tmp_path, categories=categories), skip_bad="anyway")


def test_little_or_nothing_of_a_class_left_is_an_error(tmp_path: Path) -> None:
    bad = {"bbox": [1, 1, 0, 0]}
    entries = [annotation(n) for n in range(1, 10)] + [annotation(10, **bad)]
    split = written(tmp_path, annotations=entries)
    assert "9 of 10 annotations (90%)" in read(split, skip_bad=True).kept_in_words()
    split = written(tmp_path, annotations=[*entries, annotation(11, **bad)])
    with pytest.raises(DataError, match=r"9 of 11 annotations \(82%\).*--skip-bad=anyway"):
        read(split, skip_bad=True)
    assert len(objects(read(split, skip_bad="anyway"))) == 9
    categories = [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
    lost = [*entries[:9], annotation(10, category_id=2, **bad)]
    with pytest.raises(DataError, match="nothing is left of the class 'nut'"):
        read(written(tmp_path, annotations=lost, categories=categories), skip_bad="anyway")


@pytest.mark.parametrize("text", [["bolt, long"], ["bolt, long,[red]nut[/red]"], ["Öse", "nut"]])
def test_classes_are_named_whatever_is_in_their_names(tmp_path: Path, text: list[str]) -> None:
    names = ["bolt, long", "bolt", "[red]nut[/red]", unicodedata.normalize("NFD", "Öse"), "nut"]
    categories = [{"id": n, "name": name} for n, name in enumerate(names)]
    entries = [annotation(n + 1, category_id=n) for n in range(5)]
    split = written(tmp_path, categories=categories, annotations=entries)
    cut = cut_annotations(split.annotations, text)
    assert len(cut["categories"]) == len(",".join(text).replace("bolt, long", "b").split(","))


# ---- Images


def test_an_image_above_the_limit_is_refused_with_the_option(coco_folder: Any) -> None:
    with pytest.raises(DataError, match=r"limit of 0\.001 .*tiles.*--max-megapixels"):
        read_split(coco_folder.save(), max_megapixels=0.001)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP"])
def test_several_frames_are_said(coco_folder: Any, form: str) -> None:
    frames = [Image.fromarray(np.full((8, 16, 3), n, np.uint8)) for n in (0, 90)]
    file = coco_folder.images / "c.png"
    frames[0].save(file, format=form, save_all=True, append_images=frames[1:])
    found = read_split(coco_folder.save())
    assert any("only the first is read" in warning.what for warning in found.warnings)
