from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from detectors.data.dataset import Annotation, Category, Dataset, ImageRecord
from detectors.data.readers import DataSource, Split
from detectors.data.reading import read_source, read_split
from detectors.data.validation import DataError
from tests.shared import shared_data


def test_a_split_is_read_as_it_stands(coco_folder: Any) -> None:
    split = read_split(coco_folder.save())

    assert split.images[1] == ImageRecord(20, coco_folder.images / "sub" / "b.jpg", 32, 24)
    assert split.categories == (Category(3, "cat"), Category(7, "dog"))
    assert split.annotations[10] == (
        Annotation(
            id=1,
            image_id=10,
            category_id=3,
            box=(1, 2, 11, 22),
            area=120.5,
            iscrowd=False,
            segmentation=[[1, 2, 11, 2, 11, 22]],
        ),
        Annotation(2, 10, 7, (5.5, 5, 9.5, 9), area=16, iscrowd=False, segmentation=None),
    )
    crowd, small = split.annotations[20]
    assert crowd.iscrowd
    assert crowd.segmentation == {"counts": [0, 100, 668], "size": [24, 32]}
    assert small.segmentation is None
    assert split.annotations[30] == ()
    assert split.skipped == ()


def test_labels_are_contiguous_from_one(coco_folder: Any) -> None:
    split = read_split(coco_folder.save())

    assert split.num_classes == 2
    assert [split.label_of(3), split.label_of(7)] == [1, 2]


@pytest.mark.parametrize(
    ("bbox", "box"),
    [
        ([-1, 5, 4, 4], (0, 5, 3, 9)),
        ([36, -0.5, 4.9, 31.5], (36, 0, 40, 30)),
        ([0, 0, 40.1 + 0.9, 30], (0, 0, 40, 30)),  # one pixel over, give or take rounding
    ],
)
def test_an_overhang_of_up_to_one_pixel_is_clipped(
    coco_folder: Any, bbox: list[float], box: tuple[float, ...]
) -> None:
    coco_folder.document["annotations"][1]["bbox"] = bbox

    annotation = read_split(coco_folder.save()).annotations[10][1]

    assert annotation.box == box
    assert annotation.area == (box[2] - box[0]) * (box[3] - box[1])


def test_compressed_run_lengths_are_those_of_pycocotools(coco_folder: Any) -> None:
    pixels = np.asfortranarray(np.random.default_rng(0).random((30, 40)) < 0.3, dtype=np.uint8)
    pixels[5:25, 10:30] = 1  # long runs and short ones, growing and shrinking
    counts = mask.encode(pixels)["counts"].decode()
    coco_folder.document["annotations"][0]["segmentation"] = {"counts": counts, "size": [30, 40]}

    truth = read_split(coco_folder.save()).ground_truth()

    assert np.array_equal(truth.annToMask(truth.anns[1]), pixels)


def test_a_link_that_stays_in_the_folder_is_followed(coco_folder: Any) -> None:
    (coco_folder.images / "a.png").rename(coco_folder.images / "sub" / "real.png")
    (coco_folder.images / "a.png").symlink_to(Path("sub") / "real.png")

    assert len(read_split(coco_folder.save()).images) == 3


def test_an_image_turned_by_exif_may_be_declared_either_way(coco_folder: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 16)).save(coco_folder.images / "c.png", exif=exif)

    assert read_split(coco_folder.save()).images[2].width == 16
    coco_folder.document["images"][2].update(width=8, height=16)
    assert read_split(coco_folder.save()).images[2].width == 8


def test_paths_survive_a_change_of_the_working_directory(
    coco_folder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(coco_folder.root)
    split = Split(Path("train"), Path("annotations/instances_train.json"))
    monkeypatch.chdir(tmp_path)

    assert split == coco_folder.save()
    assert all(image.path.is_file() for image in read_split(split).images)


def test_ground_truth_scores_itself_perfectly(
    coco_folder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = read_split(coco_folder.save()).ground_truth()
    assert capsys.readouterr().out == ""

    assert truth.anns[1]["bbox"] == [1, 2, 10, 20]
    assert truth.anns[1]["area"] == 120.5
    assert truth.anns[3]["iscrowd"] == 1
    assert truth.annToMask(truth.anns[3]).sum() == 100
    assert "segmentation" not in truth.anns[2]
    assert truth.imgs[30] == {"id": 30, "file_name": "c.png", "width": 16, "height": 8}
    objects = [{**a, "score": 1.0} for a in truth.anns.values() if not a["iscrowd"]]
    evaluation = COCOeval(truth, truth.loadRes(objects), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_a_split_can_be_sent_to_a_worker(coco_folder: Any) -> None:
    split = read_split(coco_folder.save())

    assert pickle.loads(pickle.dumps(split)) == split


def test_errors_can_be_sent_from_a_worker(coco_folder: Any) -> None:
    coco_folder.document["images"][0]["width"] = 41
    with pytest.raises(DataError) as caught:
        read_split(coco_folder.save())

    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


@pytest.fixture
def source(coco_folder: Any) -> DataSource:
    """Train and val alike."""
    train = coco_folder.save()
    shutil.copytree(train.images, coco_folder.root / "val")
    shutil.copy(train.annotations, train.annotations.with_name("instances_val.json"))
    return DataSource.from_folder(coco_folder.root)


def change(split: Split, edit: Callable[[Any], None]) -> None:
    document = json.loads(split.annotations.read_text())
    edit(document)
    split.annotations.write_text(json.dumps(document))


def test_both_splits_are_read(source: DataSource) -> None:
    train, val = read_source(source)

    assert train.images[0].path.parent.name == "train"
    assert val.images[0].path.parent.name == "val"
    assert train.fingerprint == val.fingerprint


@pytest.mark.parametrize(
    "name", ["train", "val", "annotations/instances_train.json", "annotations/instances_val.json"]
)
def test_a_missing_part_is_named_with_the_layout(
    source: DataSource, coco_folder: Any, name: str
) -> None:
    path = coco_folder.root / name
    path.rename(coco_folder.root / "away")
    pattern = rf"(?s){name}:\n.*does not exist; expected layout: train/ and val/"

    with pytest.raises(DataError, match=pattern) as caught:
        DataSource.from_folder(coco_folder.root)
    assert len(caught.value.problems) == 1
    with pytest.raises(DataError, match=pattern):
        read_source(source, skip_bad="anyway")


def test_a_missing_data_folder_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere:\n  data folder: does not exist") as caught:
        DataSource.from_folder(tmp_path / "nowhere")

    assert len(caught.value.problems) == 1


def test_problems_of_both_splits_come_together(source: DataSource) -> None:
    change(source.train, lambda document: document["images"][0].update(width=41))
    change(source.val, lambda document: document["annotations"][0].update(bbox=[1]))

    with pytest.raises(DataError) as caught:
        read_source(source)

    assert [(problem.file, problem.entry) for problem in caught.value.problems] == [
        (str(source.train.annotations), "images[0] id 10"),
        (str(source.val.annotations), "annotations[0] id 1"),
    ]
    train, val = read_source(source, skip_bad="anyway")
    assert [len(train.images), len(val.images)] == [2, 3]
    assert [len(train.skipped), len(val.skipped)] == [1, 1]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_categories_must_agree(source: DataSource, skip_bad: bool) -> None:
    change(source.val, lambda document: document["categories"][0].update(name="wolf"))

    with pytest.raises(DataError) as caught:
        read_source(source, skip_bad)

    assert str(caught.value).splitlines() == [
        f"{source.val.annotations}:",
        "  categories id 7: 'dog' is missing here, but in train; give it the categories of "
        f"'{source.train.annotations}', with the same ids",
        "  categories id 7: 'wolf' is here, but not in train; give it the categories of "
        f"'{source.train.annotations}', with the same ids",
    ]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_training_data_without_boxes_is_refused(source: DataSource, skip_bad: bool) -> None:
    def crowd_only(document: Any) -> None:
        document["annotations"] = [a for a in document["annotations"] if a.get("iscrowd")]

    change(source.val, crowd_only)
    assert len(read_source(source, skip_bad)) == 2
    change(source.train, crowd_only)

    with pytest.raises(DataError, match=r"(?s)instances_train.*no box to train on") as caught:
        read_source(source, skip_bad)
    assert len(caught.value.problems) == 1


def test_bccd_has_the_counts_of_its_source() -> None:
    def boxes(split: Dataset) -> dict[str, int]:
        names = {category.id: category.name for category in split.categories}
        every = (item for items in split.annotations.values() for item in items)
        return Counter(names[item.category_id] for item in every)

    train, val = shared_data("bccd")

    assert [len(train.images), len(val.images)] == [292, 72]
    assert boxes(train) == {"RBC": 3348, "WBC": 301, "Platelets": 292}
    assert boxes(val) == {"RBC": 805, "WBC": 71, "Platelets": 69}
    assert train.skipped == val.skipped == ()


def test_coco_mini_has_80_categories_and_keeps_its_ignore_regions() -> None:
    train, val = shared_data("coco_mini")

    for split, counts in ((train, [103, 1079, 14]), (val, [52, 559, 7])):
        every = [item for items in split.annotations.values() for item in items]
        crowds = sum(item.iscrowd for item in every)
        assert [len(split.images), len(every), crowds] == counts
        assert split.num_classes == 80
        assert split.label_of(90) == 80
        assert split.skipped == ()


@pytest.mark.parametrize("skip_bad", [False, True])
def test_boxes_in_fractions_of_the_image_are_refused_with_the_fix(
    coco_folder: Any, skip_bad: bool
) -> None:
    for entry in coco_folder.document["annotations"]:
        x, y, width, height = entry["bbox"]
        image = next(i for i in coco_folder.document["images"] if i["id"] == entry["image_id"])
        sides = (image["width"], image["height"]) * 2
        entry["bbox"] = [v / s for v, s in zip((x, y, width, height), sides, strict=True)]
    with pytest.raises(DataError, match=r"4 of 4 boxes lie in 0..1.*in pixels") as failure:
        read_split(coco_folder.save(), skip_bad)
    assert str(coco_folder.json) in str(failure.value)
    # Most of them is enough: some tools mix both.
    coco_folder.document["annotations"][0]["bbox"] = [1, 2, 10, 20]
    with pytest.raises(DataError, match=r"3 of 4 boxes lie in 0..1"):
        read_split(coco_folder.save(), skip_bad)


def test_an_object_of_one_pixel_in_the_corner_is_not_a_fraction(coco_folder: Any) -> None:
    for entry in coco_folder.document["annotations"]:
        entry["bbox"] = [0, 0, 1, 1]
    assert len(read_split(coco_folder.save()).annotations[10]) == 2
    coco_folder.document["annotations"][0]["bbox"] = [0.2, 0.2, 0.5, 0.5]
    for entry in coco_folder.document["annotations"][1:]:
        entry["bbox"] = [3, 3, 4, 4]
    assert len(read_split(coco_folder.save()).annotations[10]) == 2


def test_what_is_dropped_is_told_with_what_is_left(coco_folder: Any) -> None:
    assert read_split(coco_folder.save()).dropped_in_words() == (
        "0 bad entries dropped; 3 of 3 images and 4 of 4 annotations are left"
    )
    coco_folder.document["annotations"][3]["bbox"] = [8, 8, -3, 3]
    coco_folder.document["images"][0]["file_name"] = "gone.png"
    for entry in coco_folder.document["annotations"]:
        entry["category_id"] = 7
    assert read_split(coco_folder.save(), skip_bad="anyway").dropped_in_words() == (
        "2 bad entries dropped; 2 of 3 images (67%) and 1 of 4 annotations (25%) are left"
    )
