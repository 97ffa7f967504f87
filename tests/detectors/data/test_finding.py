"""Where data are found by looking: layouts as tools write them, and what is said of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from detectors.data.held_out import groups_of
from detectors.data.readers import Cut, DataSource, Split
from detectors.data.reading import read_source, read_split
from detectors.data.validation import DataError
from launch.trial.data import TrialData, found_in_words

CLASSES = ("bolt", "nut")


def picture(file: Path, shade: int = 9) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (shade % 256, shade // 256, 199)).save(file)


def coco(file: Path, images: Path, names: list[str], classes: tuple[str, ...] = CLASSES) -> None:
    """A COCO file and its images, each with an object of one of the first two classes."""
    for number, name in enumerate(names):
        picture(images / name, sum(map(ord, str(images / name))) + number)
    document = {
        "images": [
            {"id": i, "file_name": n, "width": 40, "height": 30} for i, n in enumerate(names, 1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": i % 2, "bbox": [1, 2, 10, 8]}
            for i in range(1, len(names) + 1)
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))


LAYOUTS = {
    "COCO": ("annotations/instances_{}.json", "{}", "train val"),
    "COCO 2017": ("annotations/instances_{}2017.json", "{}2017", "train val"),
    "COCO 2014": ("annotations/instances_{}2014.json", "images/{}2014", "train val"),
    "Roboflow's COCO": ("{}/_annotations.coco.json", "{}", "train valid"),
    "COCO (annotations/*.json)": ("annotations/{}.json", "images/{}", "train val"),
    "COCO (*.json)": ("{}.json", "images", "train validation"),
    "COCO (*/labels.json)": ("{}/labels.json", "{}/data", "train val"),
}
"""File and image folder of a split, and what splits are called."""


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("inner", ["", "export"])
def test_a_layout_of_coco_files_is_found(tmp_path: Path, layout: str, inner: str) -> None:
    file, images, splits = LAYOUTS[layout]
    root = tmp_path / inner
    for name in splits.split():
        coco(root / file.format(name), root / images.format(name), [f"{name}1.png", f"{name}2.png"])
    (root / "README.txt").write_text("exported")
    source = DataSource.from_folder(tmp_path)
    train, val = read_source(source)
    assert source.layout == layout
    assert [i.path.stem for split in (train, val) for i in split.images] == [
        f"{name}{number}" for name in splits.split() for number in (1, 2)
    ]
    words = found_in_words(source, TrialData(train, val))
    assert words == f"{layout} layout, 2 + 2 images, 2 classes"
    by_file = DataSource.from_folder(root / file.format(splits.split()[0]))
    assert by_file == source


def test_captions_and_key_points_beside_instances_are_passed_over(tmp_path: Path) -> None:
    for name in ("train2017", "val2017"):
        coco(tmp_path / f"annotations/instances_{name}.json", tmp_path / name, ["a.png", "b.png"])
        for other in ("person_keypoints", "captions"):
            text = json.dumps({"images": [], "annotations": []})
            (tmp_path / f"annotations/{other}_{name}.json").write_text(text)
    assert DataSource.from_folder(tmp_path).layout == "COCO 2017"


@pytest.mark.parametrize("place", ["", "mine/data/annotations"])
def test_data_are_found_in_folders_of_archives_and_by_that_of_annotations(
    tmp_path: Path, place: str
) -> None:
    root = tmp_path / "mine/data"
    for name in ("train", "val"):
        coco(root / f"annotations/instances_{name}.json", root / name, ["a.png"])
    assert DataSource.from_folder(tmp_path / place) == DataSource.from_folder(root)


def test_of_many_classes_without_an_object_a_few_are_named(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(80))
    for name in ("train", "valid"):
        file = tmp_path / name / "_annotations.coco.json"
        coco(file, file.parent, ["a.png", "b.png"], classes)
    source = DataSource.from_folder(tmp_path)
    words = found_in_words(source, TrialData.read(source))
    assert words.endswith(
        "80 classes; no object is of 'class 2' or 'class 3' or 'class 4' or "
        "'class 5' or 74 other classes"
    )


def test_one_of_several_data_sets_has_to_be_named(tmp_path: Path) -> None:
    for year in ("2014", "2017"):
        for name in ("train", "val"):
            file = tmp_path / f"both/annotations/instances_{name}{year}.json"
            coco(file, tmp_path / f"both/{name}{year}", ["a.png"])
    with pytest.raises(DataError, match=r"several data sets: COCO 2014 and COCO 2017; .* --data "):
        DataSource.from_folder(tmp_path / "both")
    chosen = DataSource.from_folder(tmp_path / "both/annotations/instances_train2014.json")
    assert chosen.val.images.name == "val2014"
    coco(tmp_path / "more/train/_annotations.coco.json", tmp_path / "more/train", ["a.png"])
    with pytest.raises(DataError, match=r"both/ \(COCO 2014 and COCO 2017\); more/ \(Robo"):
        DataSource.from_folder(tmp_path)


def test_what_lies_in_an_unknown_folder_is_said_with_the_four_options(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        picture(tmp_path / f"{name}/a.png")
        (tmp_path / f"{name}_boxes.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        DataSource.from_folder(tmp_path)
    [problem] = caught.value.problems
    assert problem.what == (
        "has no known layout: there are train/ (1 image), valid/ (1 image), train_boxes.json, "
        "valid_boxes.json"
    )
    assert problem.fix.startswith(
        f"name images and annotations: --train-images {tmp_path}/train --train-annotations "
        f"{tmp_path}/train_boxes.json --val-images {tmp_path}/valid --val-annotations "
        f"{tmp_path}/valid_boxes.json; or lay it out as one of: train/ and val/"
    )


def test_a_class_without_an_object_is_named(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        file = tmp_path / name / "_annotations.coco.json"
        coco(file, file.parent, ["a.png", "b.png"], (*CLASSES, "fasteners"))
    source = DataSource.from_folder(tmp_path)
    words = found_in_words(source, TrialData.read(source))
    assert words.endswith("2 + 2 images, 3 classes; no object is of 'fasteners'")


# ---- Held out


def test_a_share_is_held_out_by_groups_and_reproducibly(tmp_path: Path) -> None:
    names = [f"im{i}_jpg.rf.{c * 32}.png" for i in range(16) for c in "ab"]
    names += [f"seq_{i}/{frame}.png" for i in range(4) for frame in range(4)]
    coco(tmp_path / "train/_annotations.coco.json", tmp_path / "train", names)
    with pytest.raises(DataError, match=r"there are none: .*val/_annot.* with --val-share 0\.2"):
        DataSource.from_folder(tmp_path)
    source = DataSource.from_folder(tmp_path, val_share=0.25)
    data = TrialData.read(source)
    held = {data.val.files[image.id].name for image in data.val.images}
    rest = {data.train.files[image.id].name for image in data.train.images}
    assert held | rest == set(names)
    assert 10 <= len(held) <= 14

    def group(name: str) -> str:
        return name.split("/" if "/" in name else "_jpg")[0]

    assert not {group(name) for name in held} & {group(name) for name in rest}
    assert found_in_words(source, data).endswith(
        f"{len(rest)} + {len(held)} images (25 % held out for validation), 2 classes"
    )
    again = TrialData.read(DataSource.from_folder(tmp_path, val_share=0.25))
    assert (again.train.fingerprint, again.val.fingerprint) == (
        data.train.fingerprint,
        data.val.fingerprint,
    )
    assert read_split(source.val) == data.val
    assert read_split(source.train) == data.train


def test_equal_files_and_tiles_stay_together(tmp_path: Path) -> None:
    names = ["a_0_0_640_640.png", "a_512_0_1152_640.png", "b.png", "other.png", "b_aug_2.png"]
    coco(tmp_path / "set.json", tmp_path / "images", names)
    picture(tmp_path / "images/b.png", 77)
    picture(tmp_path / "images/other.png", 77)
    groups = groups_of(read_split(Split(tmp_path / "images", tmp_path / "set.json")))
    assert sorted(map(sorted, groups)) == [[1, 2], [3, 4, 5]]


def test_what_cannot_be_held_out_is_refused(tmp_path: Path) -> None:
    for name in ("train", "val"):
        coco(tmp_path / f"annotations/instances_{name}.json", tmp_path / name, ["a.png", "b.png"])
    with pytest.raises(DataError, match=r"there are some already: .*val\.json; leave out --val-s"):
        DataSource.from_folder(tmp_path, val_share=0.2)
    split = Split.at(tmp_path / "train", tmp_path / "annotations/instances_train.json")
    with pytest.raises(DataError, match=r"none of 2 groups of images can be held out .* a class;"):
        read_source(DataSource.cut_from(split, 0.5))
    with pytest.raises(ValueError, match="val_share is 1: give a number between 0 and 1"):
        Cut(1, True)
