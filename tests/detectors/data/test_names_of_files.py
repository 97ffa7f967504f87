"""Files by names that systems and tools write in their own ways, in every layout."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.validation import DataError
from tests.detectors.data.test_layouts import voc_image, voc_set
from tests.detectors.data.test_yolo import NAMES, picture, text

LINE = "1 0.5 0.5 0.25 0.5"
XML = (
    "<annotation><object><name>nut</name><bndbox><xmin>16</xmin><ymin>6</ymin><xmax>25</xmax>"
    "<ymax>15</ymax></bndbox></object></annotation>"
)


def yolo(root: Path, stem: str) -> None:
    text(root / "data.yaml", f"train: images/train\nval: images/val\n{NAMES}")
    for part in ("train", "val"):
        picture(root / f"images/{part}/{stem}.png")
        text(root / f"labels/{part}/{stem}.txt", LINE)


def voc(root: Path, stem: str) -> None:
    for part in ("train", "val"):
        voc_image(root, f"{part}-{stem}", XML, ".png")
        voc_set(root, part, f"{part}-{stem}")


def visdrone(root: Path, stem: str) -> None:
    for part in ("train", "val"):
        picture(root / f"VisDrone2019-DET-{part}/images/{stem}.png")
        text(root / f"VisDrone2019-DET-{part}/annotations/{stem}.txt", "15,5,10,10,1,1,0,0")


LAYOUTS = {"yolo": (yolo, ".txt"), "voc": (voc, ".xml"), "visdrone": (visdrone, ".txt")}


def boxes(splits: tuple[Dataset, Dataset]) -> list[tuple[float, ...]]:
    found = [a for split in splits for items in split.annotations.values() for a in items]
    return [tuple(map(round, item.box)) for item in found]


def renamed(root: Path, suffix: str, change: Callable[[Path], str]) -> None:
    """Change the names of the annotations, those of lists in folders of sets excepted."""
    for file in list(root.rglob(f"*{suffix}")):
        if file.parent.name != "Main":
            file.rename(file.with_name(change(file)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_suffixes_of_annotations_may_be_in_upper_case(tmp_path: Path, layout: str) -> None:
    make, suffix = LAYOUTS[layout]
    make(tmp_path, "a")
    renamed(tmp_path, suffix, lambda file: file.stem + suffix.upper())
    splits = read_source(DataSource.from_folder(tmp_path))
    assert boxes(splits) == [(15, 5, 25, 15)] * 2
    assert not any(split.warnings for split in splits)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "change",
    [lambda file: file.name.lower(), lambda file: unicodedata.normalize("NFD", file.name)],
    ids=["case", "form"],
)
def test_annotations_belong_to_the_image_of_a_name_that_is_alike(
    tmp_path: Path, layout: str, change: Callable[[Path], str]
) -> None:
    make, suffix = LAYOUTS[layout]
    make(tmp_path, "ÜB 100%20 🐟.b")
    renamed(tmp_path, suffix, change)
    splits = read_source(DataSource.from_folder(tmp_path))
    assert boxes(splits) == [(15, 5, 25, 15)] * 2
    if layout != "voc":  # There, the list names the image as it is called.
        assert all("differs in case or Unicode form" in str(s.warnings) for s in splits)


def test_labels_of_another_image_are_not_taken_for_those_of_one_that_is_alike(
    tmp_path: Path,
) -> None:
    yolo(tmp_path, "a")
    for part in ("train", "val"):
        picture(tmp_path / f"images/{part}/A.png")
    train, _ = read_source(DataSource.from_folder(tmp_path))
    assert [len(train.annotations[image.id]) for image in train.images] == [0, 1]


def test_what_systems_leave_in_archives_is_passed_over(tmp_path: Path) -> None:
    yolo(tmp_path / "mine", "a")
    for file in list((tmp_path / "mine").rglob("*.*")):
        left = tmp_path / "__MACOSX" / file.relative_to(tmp_path).with_name(f"._{file.name}")
        text(left, "\0\5\x16\7")
    text(tmp_path / ".DS_Store", "\0\0\0\1Bud1")
    assert boxes(read_source(DataSource.from_folder(tmp_path))) == [(15, 5, 25, 15)] * 2


@pytest.mark.parametrize(
    ("train", "moved"),
    [
        ("/content/mine/images/train", True),
        ("C:\\data\\mine\\images\\train", True),
        ("datasets/mine/images/train", True),
        ("../images/train", False),
        ("images/train", False),
    ],
)
def test_folders_of_another_machine_are_found_by_their_ends(
    tmp_path: Path, train: str, moved: bool
) -> None:
    yolo(tmp_path, "a")
    text(tmp_path / "data.yaml", f"train: {train}\nval: images/val\n{NAMES}")
    splits = read_source(DataSource.from_folder(tmp_path))
    assert boxes(splits) == [(15, 5, 25, 15)] * 2
    assert ("is read as" in str(splits[0].warnings)) == moved


@pytest.mark.parametrize("prefix", ["data/", "/home/me/", "./", "images/../"])
def test_lists_may_have_prefixes_and_name_an_image_twice(tmp_path: Path, prefix: str) -> None:
    yolo(tmp_path, "a")
    text(tmp_path / "data.yaml", f"train: train.txt\nval: images/val\n{NAMES}")
    text(tmp_path / "train.txt", *[f"{prefix}images/train/a.png"] * 2)
    splits = read_source(DataSource.from_folder(tmp_path))
    assert boxes(splits) == [(15, 5, 25, 15)] * 2
    assert "is named already by line 1; it is read once" in str(splits[0].warnings[-1])


def test_a_linked_folder_has_the_labels_of_its_place(tmp_path: Path) -> None:
    yolo(tmp_path, "a")
    for part in ("train", "val"):
        shutil.move(tmp_path / f"images/{part}", tmp_path / f"store/{part}")
        (tmp_path / f"images/{part}").symlink_to(tmp_path / f"store/{part}")
    assert boxes(read_source(DataSource.from_folder(tmp_path))) == [(15, 5, 25, 15)] * 2


def test_a_yaml_file_may_lie_in_a_folder_of_its_own(tmp_path: Path) -> None:
    yolo(tmp_path, "a")
    (tmp_path / "cfg").mkdir()
    (tmp_path / "data.yaml").unlink()
    text(tmp_path / "cfg/mine.yaml", f"path: ..\ntrain: images/train\nval: images/val\n{NAMES}")
    assert boxes(read_source(DataSource.from_folder(tmp_path))) == [(15, 5, 25, 15)] * 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("val: images/val\n", "train: is missing; add train, with the folder or the list"),
        (
            "train: images/t\nval: images/val\n",
            r"images/t:\n  train: does not exist; correct train in ",
        ),
        ("train: images/train\nval: images/v\n", r"images/v:\n  val: does not .* with --val-share"),
    ],
)
def test_a_place_that_is_not_there_is_said_with_its_key(
    tmp_path: Path, content: str, said: str
) -> None:
    yolo(tmp_path, "a")
    if "train" not in content:
        shutil.move(tmp_path / "images/train", tmp_path / "elsewhere")
    text(tmp_path / "data.yaml", content + NAMES)
    with pytest.raises(DataError, match=said):
        DataSource.from_folder(tmp_path)
