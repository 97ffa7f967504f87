"""A data set written anew in another format: COCO, YOLO or Pascal VOC."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image

from detectors.data.dataset import Dataset
from detectors.data.image_files import folded, is_image
from detectors.data.images import displayed_size
from detectors.data.records import Annotation, ImageRecord
from detectors.data.yolo_labels import label_place
from detectors.files import write_atomically
from searchspace.errors import InputError
from searchspace.words import counted

SPLITS = ("train", "val")

Put = Callable[[Path, Path], object]
"""What brings a file to another place."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        images, objects: how many, in both splits; ignore regions are not counted.
        lost: in words, what the format has no room for.
    """

    images: int
    objects: int
    lost: tuple[str, ...]


def convert(train: Dataset, val: Dataset, out: Path, form: str, link: bool = False) -> Written:
    """Write both splits into a new folder, with the images.

    Args:
        form: `coco`, `yolo` or `voc`.
        link: images become hard links of the originals, which needs one file system, and not
            copies.

    Raises:
        InputError: the folder is not empty, there is no such format, or an image cannot be in it.
    """
    if form not in FORMS:
        raise InputError(f"{form}: there are {', '.join(FORMS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty: choose another folder")
    if form == "yolo":
        _check_sizes((*train.images, *val.images))
    splits = (train, val)
    _write_whole(splits, out, form, os.link if link else shutil.copyfile)
    items = [item for split in splits for found in split.annotations.values() for item in found]
    return Written(
        sum(len(split.images) for split in splits),
        sum(not item.iscrowd for item in items),
        tuple(_lost(splits, form)),
    )


def _write_whole(splits: Sequence[Dataset], out: Path, form: str, put: Put) -> None:
    """Write the folder beside its place first: what fails half-way leaves nothing."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        place = Path(folder) / "data"
        try:
            FORMS[form](splits, place, put)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise InputError(
                f"{out} is on another file system than the images: copy them, without --link"
            ) from None
        place.rename(out)


def _coco(splits: Sequence[Dataset], out: Path, put: Put) -> None:
    for name, split in zip(SPLITS, splits, strict=True):
        document = split.ground_truth().dataset
        for entry, image in zip(document["images"], split.images, strict=True):
            entry["file_name"] = split.files[image.id].name
            _put(image.path, out / name / entry["file_name"], put)
        file = out / "annotations" / f"instances_{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(document, default=list))


def _yolo(splits: Sequence[Dataset], out: Path, put: Put) -> None:
    for name, split in zip(SPLITS, splits, strict=True):
        numbers = {category.id: number for number, category in enumerate(split.categories)}
        taken = set[str]()
        for image in split.images:
            own = _free(_with_suffix(split.files[image.id].name, image.path), taken)
            file = out / "images" / name / own
            _put(image.path, file, put)
            lines = [
                " ".join([str(numbers[item.category_id]), *map(_short, _fractions(item, image))])
                for item in split.annotations[image.id]
                if not item.iscrowd and item.category_id is not None
            ]
            text = "".join(f"{line}\n" for line in lines)
            _write(label_place(file), text)
    classes = [category.name for category in splits[0].categories]
    tree = {"path": ".", "train": "images/train", "val": "images/val"}
    tree |= {"names": dict(enumerate(classes))}
    _write(out / "data.yaml", yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def _voc(splits: Sequence[Dataset], out: Path, put: Put) -> None:
    taken = set[str]()
    for part, split in zip(SPLITS, splits, strict=True):
        classes = {category.id: category.name for category in split.categories}
        listed = []
        for image in split.images:
            name = _with_suffix(split.files[image.id].name, image.path)
            own = _free(name.replace("/", "_"), taken)
            _put(image.path, out / "JPEGImages" / own, put)
            listed.append(Path(own).stem)
            tree = _xml(own, image, split.annotations[image.id], classes)
            _write(out / "Annotations" / f"{listed[-1]}.xml", tree)
        _write(out / "ImageSets" / "Main" / f"{part}.txt", "".join(f"{x}\n" for x in listed))


def _xml(
    name: str, image: ImageRecord, items: Sequence[Annotation], classes: dict[int, str]
) -> str:
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = name
    size = ET.SubElement(root, "size")
    for key, value in {"width": image.width, "height": image.height, "depth": 3}.items():
        ET.SubElement(size, key).text = str(value)
    for item in items:
        if item.iscrowd or item.category_id is None:
            continue
        thing = ET.SubElement(root, "object")
        ET.SubElement(thing, "name").text = classes[item.category_id]
        ET.SubElement(thing, "difficult").text = str(int(item.difficult))
        box = ET.SubElement(thing, "bndbox")
        x1, y1, x2, y2 = item.box  # The first pixel is number 1, and the last one belongs to it.
        for key, value in {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}.items():
            ET.SubElement(box, key).text = _short(value)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


FORMS: dict[str, Callable[[Sequence[Dataset], Path, Put], None]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
}
"""What writes each format."""


def _fractions(item: Annotation, image: ImageRecord) -> tuple[float, ...]:
    x1, y1, x2, y2 = item.box
    width, height = image.width, image.height
    centre = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
    return (*centre, (x2 - x1) / width, (y2 - y1) / height)


def _short(value: float) -> str:
    return f"{value:.10g}"


def _with_suffix(name: str, image: Path) -> str:
    """A name that ends as those of images do, by which tools find them."""
    if is_image(Path(name)):
        return name
    with Image.open(image) as opened:
        return f"{name}.{str(opened.format).lower()}"


def _free(name: str, taken: set[str]) -> str:
    """The name, or one with a number where another image has its stem: annotations lie in files
    that are called by it."""
    path = Path(name)
    stem = path.with_suffix("").as_posix()
    for number in itertools.count(2):
        if folded(stem) not in taken:
            break
        stem = f"{path.with_suffix('').as_posix()}_{number}"
    taken.add(folded(stem))
    return stem + path.suffix


def _put(source: Path, target: Path, put: Put) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    put(source.resolve(), target)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _check_sizes(images: Sequence[ImageRecord]) -> None:
    """YOLO's fractions are of the image as displayed; annotations may ignore its orientation."""
    for image in images:
        if displayed_size(image.path) not in ((image.width, image.height), None):
            raise InputError(
                f"{image.path}: its annotations ignore the orientation in its metadata, which "
                "YOLO's labels cannot say: convert to coco or voc, or save the image as displayed"
            )


def _lost(splits: Sequence[Dataset], form: str) -> list[str]:
    """What a format has no room for, counted."""
    if form == "coco":
        return []
    items = [item for split in splits for found in split.annotations.values() for item in found]
    used = {item.category_id for item in items}
    unused = [category for category in splits[0].categories if category.id not in used]
    found = [
        counted(sum(item.iscrowd or item.category_id is None for item in items), "ignore region"),
        counted(sum(item.segmentation is not None for item in items), "mask"),
        counted(sum(item.difficult for item in items), "difficult mark") if form == "yolo" else "",
        counted(len(unused), "class", "classes") + " without an object" if form == "voc" else "",
    ]
    return [words for words in found if words and not words.startswith("0 ")]
