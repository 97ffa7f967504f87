"""YOLO's labels as tools lay them out and write them, and Pascal VOC's XML files without lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource, Split
from detectors.data.reading import read_source, read_split
from detectors.data.validation import DataError

NAMES = "names: [bolt, nut]\n"


def picture(file: Path, orientation: int = 1) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 20), (9, sum(map(ord, str(file))) % 256, 199)).save(file, exif=exif)


def text(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines))


def names(split: Dataset) -> list[str]:
    return [split.files[image.id].name for image in split.images]


def objects(split: Dataset) -> list[tuple[str, tuple[float, ...]]]:
    known = {category.id: category.name for category in split.categories}
    found = [a for items in split.annotations.values() for a in items]
    return [(known[item.category_id], item.box) for item in found]


YAMLS = {
    "folders": ("path: .\ntrain: images/train\nval: images/val\n", "images/{}", "labels/{}"),
    "roboflow": ("train: ../train/images\nval: ../val/images\n", "{}/images", "{}/labels"),
    "beside": ("train: ./train\nval: ./val\n", "{}", "{}"),
    "listed": ("train: [images/train]\nval: [images/val]\n", "images/{}", "labels/{}"),
}


@pytest.mark.parametrize("kind", YAMLS)
def test_a_data_yaml_leads_to_images_and_labels(tmp_path: Path, kind: str) -> None:
    lines, images, labels = YAMLS[kind]
    text(tmp_path / "data.yaml", lines + NAMES)
    for part in ("train", "val"):
        for name in ("a", "b"):
            picture(tmp_path / images.format(part) / f"{name}.png")
        text(tmp_path / labels.format(part) / "a.txt", "0 0.5 0.5 0.25 0.5", "1 0.25 0.25 0.1 0.1")
    source = DataSource.from_folder(tmp_path)
    assert source.layout == "YOLO"
    assert source == DataSource.from_folder(tmp_path / "data.yaml")
    for split in read_source(source):
        assert names(split) == ["a.png", "b.png"]
        assert objects(split) == [("bolt", (15, 5, 25, 15)), ("nut", (8, 4, 12, 6))]


def test_lists_of_images_and_a_mapping_with_gaps(tmp_path: Path) -> None:
    lines = ("path: ..", "train: conf/train.txt", "val: conf/val.txt", "names: {0: bolt, 7: 'on'}")
    text(tmp_path / "conf/mine.yaml", *lines)
    for part, name in (("train", "set1/a"), ("train", "set2/a"), ("val", "set2/b")):
        picture(tmp_path / f"images/{name}.png")
        text(tmp_path / f"labels/{name}.txt", "7 0.5 0.5 0.25 0.5")
        with (tmp_path / f"conf/{part}.txt").open("a") as file:
            file.write(f"images/{name}.png\n")
    train, val = read_source(DataSource.from_folder(tmp_path))
    assert (names(train), names(val)) == (
        ["images/set1/a.png", "images/set2/a.png"],
        ["images/set2/b.png"],
    )
    assert [(c.id, c.name) for c in train.categories] == [(0, "bolt"), (7, "on")]
    assert objects(val) == [("on", (15, 5, 25, 15))]


def test_labels_without_a_yaml_file_have_their_names_beside_them(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    text(tmp_path / "labels/a.txt", "1 0.5 0.5 0.25 0.5")
    with pytest.raises(DataError, match="with --val-share"):
        DataSource.from_folder(tmp_path)
    split = Split.at(tmp_path / "images", tmp_path / "labels")
    assert split.reader == "yolo"
    with pytest.raises(DataError, match=r"have no names; add classes\.txt with a name on each"):
        read_split(split)
    text(tmp_path / "classes.txt", "bolt", "nut")
    assert objects(read_split(split)) == [("nut", (15, 5, 25, 15))]


def test_what_a_line_may_be(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", orientation=6)  # displayed as 20x40
    picture(tmp_path / "b.jpg")
    segment = "0 0.25 0.25 0.75 0.25 0.75 0.5"
    text(tmp_path / "a.txt", "1.0 0.5 0.5 0.5 0.5", segment, "", "1 0.5 0.5 0.1 0.1 0.93")
    text(tmp_path / "classes.txt", "bolt", "nut")
    split = read_split(Split.at(tmp_path, tmp_path))
    assert objects(split) == [
        ("nut", (5, 10, 15, 30)),
        ("bolt", (5, 10, 15, 20)),
        ("nut", (9, 18, 11, 22)),
    ]
    assert split.annotations[1][1].segmentation == [[5, 10, 15, 10, 15, 20]]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0 20 10 10 10", "coordinates are fractions of the image"),
        ("0 0.5 0.5 0.5", "3 numbers follow the class"),
        ("0 0.5 0.5 0.5 0.5 0.5 0.5 0.5", "7 numbers follow the class"),
        ("bolt 0.5 0.5 0.5 0.5", "is no number"),
        ("0.5 0.5 0.5 0.5 0.5", "the class is no integer"),
        ("2 0.5 0.5 0.5 0.5", "category_id is 2, which is not the id of any entry"),
    ],
)
def test_lines_that_cannot_be_read_are_named_and_can_be_dropped(
    tmp_path: Path, line: str, what: str
) -> None:
    text(tmp_path / "data.yaml", f"train: images\n{NAMES}")
    for name in ("a", "b"):
        picture(tmp_path / f"images/{name}.png")
        text(tmp_path / f"labels/{name}.txt", line if name == "a" else "1 0.5 0.5 0.25 0.5")
    split = DataSource.from_folder(tmp_path, val_share=0.5).train.whole
    with pytest.raises(DataError) as caught:
        read_split(split)
    [problem] = caught.value.problems
    assert problem.file == str(tmp_path / "labels/a.txt")
    assert what in str(problem)
    kept = read_split(split, skip_bad="anyway")
    assert objects(kept) == [("nut", (15, 5, 25, 15))]


def test_labels_without_an_image_and_images_without_any_labels(tmp_path: Path) -> None:
    text(tmp_path / "data.yaml", f"train: images\nval: images\n{NAMES}")
    picture(tmp_path / "images/a.png")
    split = DataSource.from_folder(tmp_path).train
    with pytest.raises(DataError, match=r"none of 1 image has a file of labels"):
        read_split(split)
    text(tmp_path / "labels/a.txt", "1 0.5 0.5 0.25 0.5")
    text(tmp_path / "labels/lost.txt", "1 0.5 0.5 0.25 0.5")
    with pytest.raises(DataError, match=r"lost\.txt:\n.* its image 'lost\.jpg' does not"):
        read_split(split)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("train: images\nnames: [", "is not YAML"),
        ("train: images\nnc: 2", "names: is missing"),
        ("train: images\nnames: {a: b}", "names: is {'a': 'b'}; write the names"),
        ("- train", "is ['- train'], not a mapping"),
        ("train: images\nnames: [bolt, null]", "names: is ['bolt', None]; write the names"),
        ("train: images\nnames: [[bolt], nut]", "names: is [['bolt'], 'nut']; write the names"),
        ("train: images\nnames: " + "[" * 3000, "is not YAML (it is nested too deeply)"),
    ],
)
def test_a_data_yaml_that_says_too_little_is_named(tmp_path: Path, content: str, what: str) -> None:
    text(tmp_path / "data.yaml", content)
    picture(tmp_path / "images/a.png")
    text(tmp_path / "labels/a.txt", "1 0.5 0.5 0.25 0.5")
    with pytest.raises(DataError) as caught:
        read_split(Split.at(tmp_path / "images", tmp_path / "data.yaml"))
    assert what.replace("'- train'", "'train'") in str(caught.value)


def test_a_data_yaml_that_cannot_be_read_is_not_taken_for_one_without_validation_data(
    tmp_path: Path,
) -> None:
    text(tmp_path / "data.yaml", "train: images/train\t", NAMES)
    picture(tmp_path / "images/train/a.png")
    with pytest.raises(DataError, match="is not YAML"):
        read_source(DataSource.from_folder(tmp_path))


def test_names_of_classes_are_read_as_they_are_written(tmp_path: Path) -> None:
    text(tmp_path / "data.yaml", "train: images\nnames: {0: no, 1: 0x10, 2: 2020-01-01}")
    picture(tmp_path / "images/a.png")
    text(tmp_path / "labels/a.txt", "1 0.5 0.5 0.25 0.5")
    read = read_split(Split.at(tmp_path / "images", tmp_path / "data.yaml"))
    assert [category.name for category in read.categories] == ["no", "0x10", "2020-01-01"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_texts_are_read_in_unicodes_encodings(tmp_path: Path, encoding: str) -> None:
    picture(tmp_path / "images/a.png")
    (tmp_path / "labels").mkdir()
    line = "1 0.5 0.5 0.25 0.5\r\n"
    for name, content in {"classes.txt": "bolt\r\nnüt\r\n", "labels/a.txt": line}.items():
        (tmp_path / name).write_bytes(content.encode(encoding))
    assert objects(read_split(Split.at(tmp_path / "images", tmp_path / "labels")))[0][0] == "nüt"


def test_hidden_files_of_systems_are_passed_over(tmp_path: Path) -> None:
    text(tmp_path / "data.yaml", "train: images", NAMES)
    picture(tmp_path / "images/a.png")
    text(tmp_path / "labels/a.txt", "1 0.5 0.5 0.25 0.5")
    picture(tmp_path / "images/.ipynb_checkpoints/a-checkpoint.png")
    for name in ("images/._a.png", "labels/._a.txt", "._data.yaml"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    source = DataSource.from_folder(tmp_path, val_share=0.5)
    assert names(read_split(source.train.whole)) == ["a.png"]


# ---- Pascal VOC without lists


@pytest.mark.parametrize(
    ("images", "xmls"),
    [("{}", "{}"), ("{}/images", "{}/annotations"), ("images/{}", "annotations/{}")],
)
def test_xml_files_beside_images_are_read(tmp_path: Path, images: str, xmls: str) -> None:
    for part, label in (("train", "nut"), ("valid", "bolt")):
        picture(tmp_path / images.format(part) / f"{part}.png")
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>8</ymax>"
        thing = f"<object><name>{label}</name><bndbox>{box}</bndbox></object>"
        text(tmp_path / xmls.format(part) / f"{part}.xml", f"<annotation>{thing}</annotation>")
    source = DataSource.from_folder(tmp_path)
    assert source.layout == "Pascal VOC"
    train, val = read_source(source)
    assert (objects(train), objects(val)) == ([("nut", (0, 0, 10, 8))], [("bolt", (0, 0, 10, 8))])
    given = Split.at(source.train.images, source.train.annotations)
    assert read_split(given) == train
