"""Every data reader: what is written in its format is read back; flaws are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detectors.data.dataset import Dataset
from detectors.data.readers import READERS, DataSource, Reader, Split, register_reader
from detectors.data.reading import read_source, read_split
from detectors.data.validation import DataError
from launch.study.settings import StudyError, read_settings, settings_of
from searchspace import load_space
from tests.documents import plugin

Objects = dict[str, list[tuple[str, tuple[float, float, float, float]]]]
"""By image, relative to the folder: class and box (x1, y1, x2, y2) of each object."""

SIZES = {
    "train/a.png": (40, 30),
    "train/b.png": (32, 24),
    "train/c.png": (16, 8),
    "val/d.png": (20, 20),
}
OBJECTS: Objects = {
    "train/a.png": [("dog", (1, 2, 11, 22)), ("cat", (5.5, 5, 9.5, 9))],
    "train/b.png": [("cat", (8, 8, 11, 11))],
    "train/c.png": [],
    "val/d.png": [("dog", (0, 0, 20, 20)), ("cat", (1, 1, 2, 3))],
}


def write_coco(folder: Path, objects: Objects) -> None:
    classes = ("cat", "dog")
    (folder / "annotations").mkdir()
    for split in ("train", "val"):
        names = [name for name in objects if name.startswith(split)]
        boxes = [(names.index(n) + 1, *found) for n in names for found in objects[n]]
        document = {
            "images": [
                {
                    "id": number,
                    "file_name": name.removeprefix(f"{split}/"),
                    "width": SIZES[name][0],
                    "height": SIZES[name][1],
                }
                for number, name in enumerate(names, start=1)
            ],
            "categories": [{"id": number, "name": name} for number, name in enumerate(classes)],
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": classes.index(label),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
                for number, (image, label, (x1, y1, x2, y2)) in enumerate(boxes, start=1)
            ],
        }
        file = folder / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(document), encoding="utf-8")


def write_text(folder: Path, objects: Objects) -> None:
    """The format of the example in docs/extending.md."""
    lines = [
        " ".join(map(str, (name, *box, label)))
        for name, found in objects.items()
        for label, box in found
    ]
    lines += [name for name, found in objects.items() if not found]
    (folder / "boxes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_voc(folder: Path, objects: Objects) -> None:
    """Corners are counted from 1, and the last pixel belongs to the box."""
    year = folder / "VOC2007"
    for name in ("Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True, exist_ok=True)
    for split, own in (("train", "trainval"), ("val", "test")):
        names = [Path(name).stem for name in objects if name.startswith(split)]
        (year / f"ImageSets/Main/{own}.txt").write_text("\n".join(names))
    for name, found in objects.items():
        things = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for label, (x1, y1, x2, y2) in found
        )
        file = year / f"Annotations/{Path(name).stem}.xml"
        file.write_text(f"<annotation>{things}</annotation>")


def write_tt100k(folder: Path, objects: Objects) -> None:
    for part in ("train", "val"):
        names = [Path(name).stem for name in objects if name.startswith(part)]
        (in_tt100k(folder / part / "ids.txt")).write_text("\n".join(names))
    images = {
        Path(name).stem: {
            "path": str(in_tt100k(Path(name))),
            "objects": [
                {"category": label, "bbox": {"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}}
                for label, (x1, y1, x2, y2) in found
            ],
        }
        for name, found in objects.items()
    }
    (folder / "annotations.json").write_text(json.dumps({"imgs": images, "types": ["cat", "dog"]}))


def write_visdrone(folder: Path, objects: Objects) -> None:
    for name, found in objects.items():
        file = in_visdrone(folder / name).parents[1] / f"annotations/{Path(name).stem}.txt"
        file.parent.mkdir(exist_ok=True)
        lines = [
            f"{x1},{y1},{x2 - x1},{y2 - y1},1,{VISDRONE[label][0]},0,0"
            for label, (x1, y1, x2, y2) in found
        ]
        file.write_text("\n".join(lines))


def write_yolo(folder: Path, objects: Objects) -> None:
    """Centres and sizes as fractions of the image."""
    text = "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"
    (folder / "data.yaml").write_text(text)
    for name, found in objects.items():
        width, height = SIZES[name]
        lines = [
            f"{('cat', 'dog').index(label)} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
            f"{(x2 - x1) / width} {(y2 - y1) / height}"
            for label, (x1, y1, x2, y2) in found
        ]
        file = (folder / "labels" / name).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))


VISDRONE = {"cat": (4, "car"), "dog": (5, "van")}
"""Its classes are given: number and name of those that stand for ours."""


def in_voc(path: Path) -> Path:
    return path.parents[1] / "VOC2007/JPEGImages" / path.name


def in_tt100k(path: Path) -> Path:
    return path.parents[1] / path.parent.name.replace("val", "test") / path.name


def in_visdrone(path: Path) -> Path:
    return path.parents[1] / f"VisDrone2019-DET-{path.parent.name}/images" / path.name


def in_yolo(path: Path) -> Path:
    return path.parents[1] / "images" / path.parent.name / path.name


@dataclass(frozen=True)
class Writer:
    """What writes a format, and where it has an image `train/a.png`."""

    write: Callable[[Path, Objects], None]
    place: Callable[[Path], Path] = Path

    def write_images(self, folder: Path) -> None:
        for name, size in SIZES.items():
            file = self.place(folder / name)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (9, 99, 199)).save(file)


WRITERS = {
    "coco": Writer(write_coco),
    "tt100k": Writer(write_tt100k, in_tt100k),
    "visdrone": Writer(write_visdrone, in_visdrone),
    "voc": Writer(write_voc, in_voc),
    "yolo": Writer(write_yolo, in_yolo),
    "boxes": Writer(write_text),
}
"""By the name of a reader."""


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example of the documentation, loaded as a plugin."""
    file = tmp_path_factory.mktemp("plugin") / "my_reader_example.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(READERS, "_values", dict(READERS))
        with plugin(file, "A data reader"):
            yield


@dataclass(frozen=True)
class Format:
    name: str
    folder: Path

    @property
    def reader(self) -> Reader:
        return READERS[self.name]

    def image(self, name: str) -> Path:
        return WRITERS[self.name].place(self.folder / name)

    def write(self, objects: Objects) -> None:
        shutil.rmtree(self.folder / "annotations", ignore_errors=True)
        WRITERS[self.name].write(self.folder, objects)


@pytest.fixture(params=WRITERS)
def form(request: pytest.FixtureRequest, tmp_path: Path) -> Format:
    """A folder of a format."""
    folder = tmp_path / "data"
    WRITERS[request.param].write_images(folder)
    form = Format(request.param, folder)
    form.write(OBJECTS)
    return form


def objects_of(form: Format, *splits: Dataset) -> dict[str, set[Any]]:
    names = {form.image(name): name for name in OBJECTS}
    ours = {theirs: label for label, (_, theirs) in VISDRONE.items()}
    labels = [{c.id: ours.get(c.name, c.name) for c in split.categories} for split in splits]
    return {
        names[image.path]: {
            (known[item.category_id], item.box) for item in split.annotations[image.id]
        }
        for split, known in zip(splits, labels, strict=True)
        for image in split.images
    }


def read(folder: Path) -> tuple[Dataset, Dataset]:
    return read_source(DataSource.from_folder(folder))


def test_every_reader_has_a_writer_here() -> None:
    assert READERS.keys() == WRITERS.keys()
    assert all(type(reader).__doc__ and reader.layout for reader in READERS.values())


def test_what_was_written_is_read(form: Format) -> None:
    splits = read(form.folder)
    assert objects_of(form, *splits) == {n: set(found) for n, found in OBJECTS.items()}
    sizes = {(i.path.name, i.width, i.height) for split in splits for i in split.images}
    assert sizes == {(name.split("/")[1], *size) for name, size in SIZES.items()}
    assert [split.listed for split in splits] == [(3, 3), (1, 2)]
    assert [c.name for c in splits[0].categories] == [c.name for c in splits[1].categories]


def test_the_fingerprint_is_the_same_wherever_the_folder_lies(form: Format, tmp_path: Path) -> None:
    before = [split.fingerprint for split in read(form.folder)]
    elsewhere = shutil.move(form.folder, tmp_path / "elsewhere")
    assert [split.fingerprint for split in read(elsewhere)] == before


def test_missing_images_are_named_or_dropped_with_their_boxes(form: Format) -> None:
    form.image("train/b.png").unlink()
    source = DataSource.from_folder(form.folder)
    with pytest.raises(DataError, match=r"b\.(png|jpg)' does not exist") as caught:
        read_split(source.train)
    assert len(caught.value.problems) == 1
    rest = read_split(source.train, skip_bad="anyway")
    assert objects_of(form, rest) == {
        name: set(OBJECTS[name]) for name in ("train/a.png", "train/c.png")
    }


def test_a_box_outside_its_image_is_a_problem(form: Format) -> None:
    box = ("dog", (1.0, 2.0, 61.0, 22.0))
    form.write(OBJECTS | {"train/a.png": [box]})
    with pytest.raises(DataError, match=r"reaches 21 px outside the image of 40x30") as caught:
        read(form.folder)
    [problem] = caught.value.problems
    file = DataSource.from_folder(form.folder).train.annotations
    own = {
        "voc": form.folder / "VOC2007/Annotations/a.xml",
        "yolo": form.folder / "labels/train/a.txt",
        "visdrone": file / "a.txt",
    }
    assert problem.file == str(own.get(form.name, file))


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_missing_part_is_named_with_the_layout(form: Format, part: str) -> None:
    folder = form.image(f"{part}/a.png").parent
    folder.rename(form.folder / "away")
    with pytest.raises(DataError) as caught:
        DataSource.from_folder(form.folder)
    # Both splits of a year of VOC have one folder of images.
    assert len(caught.value.problems) == (2 if form.name == "voc" else 1)
    for problem in caught.value.problems:
        assert problem.file == str(folder)
        assert problem.what == "does not exist"
        correct = f"correct {part} in {form.folder / 'data.yaml'}"
        usual = f"expected layout: {form.reader.layout}"
        assert problem.fix.startswith(correct if form.name == "yolo" else usual)


def test_a_study_stores_its_reader(form: Format, tmp_path: Path) -> None:
    source = DataSource.from_folder(form.folder)
    assert source.train.reader == source.val.reader == form.name
    settings = settings_of(
        space=load_space("quick").dump(), train=source.train, val=source.val, fingerprint="f"
    )
    file = tmp_path / "study.json"
    file.write_text(settings.model_dump_json(), encoding="utf-8")
    stored = read_settings(tmp_path)
    assert DataSource(stored.train, stored.val) == source
    assert read_split(stored.val) == read_split(source.val)
    file.write_text(file.read_text().replace(f'"{form.name}"', '"lost"'), encoding="utf-8")
    with pytest.raises(StudyError, match=r"train: .*no data reader 'lost'; choose from coco"):
        read_settings(tmp_path)


def test_a_folder_of_no_format_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no known layout") as caught:
        DataSource.from_folder(tmp_path)
    [problem] = caught.value.problems
    assert all(f"{reader.layout} ({name})" in problem.fix for name, reader in READERS.items())


def test_a_folder_of_two_formats_is_refused(form: Format) -> None:
    other = "coco" if form.name == "boxes" else "boxes"
    WRITERS[other].write(form.folder, OBJECTS)
    both = " and ".join(name for name in READERS if name in (form.name, other))
    with pytest.raises(DataError, match=f"is laid out for the readers {both}; keep the"):
        DataSource.from_folder(form.folder)


def test_a_reader_that_is_not_loaded_is_named() -> None:
    known = "coco, tt100k, visdrone, voc, yolo, boxes"
    with pytest.raises(ValueError, match=f"no data reader 'labelme'; choose from {known}; if a pl"):
        Split(Path("images"), Path("x.txt"), "labelme")


def test_a_class_that_is_no_reader_is_refused() -> None:
    class Nothing(Reader):
        name = "nothing"

    with pytest.raises(TypeError, match="Nothing: implement layout, entries, recognises, source"):
        register_reader(Nothing)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("train/a.png 1 2 x 22 dog", "line 1: is 'train/a.png 1 2 x 22 dog'"),
        ("train/a.png 1 2 3 dog", "line 1: is 'train/a.png 1 2 3 dog'"),
        ("", "images: there are none"),
    ],
)
def test_the_example_names_what_it_cannot_read(tmp_path: Path, lines: str, named: str) -> None:
    (tmp_path / "train").mkdir()
    file = tmp_path / "boxes.txt"
    file.write_text(lines, encoding="utf-8")
    with pytest.raises(DataError, match=named):
        read_split(Split(tmp_path / "train", file, "boxes"))
    file.write_bytes(b"\xff\x00\xff")
    with pytest.raises(DataError, match="byte 0: is not utf-8"):
        read_split(Split(tmp_path / "train", file, "boxes"))
