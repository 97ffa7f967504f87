"""A data set written anew in another format: COCO, YOLO or Pascal VOC."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from detectors.data.dataset import Dataset
from detectors.data.images import displayed_size
from detectors.data.records import Annotation, ImageRecord
from detectors.files import write_atomically
from searchspace.errors import InputError
from searchspace.words import counted

SPLITS = ("train", "val")


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
    FORMS[form]((train, val), out, os.link if link else shutil.copyfile)
    splits = (train, val)
    items = [item for split in splits for found in split.annotations.values() for item in found]
    return Written(
        sum(len(split.images) for split in splits),
        sum(not item.iscrowd for item in items),
        tuple(_lost(items, form)),
    )


Put = Callable[[Path, Path], object]
"""What brings a file to another place."""


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
        for image in split.images:
            own = split.files[image.id].name
            _put(image.path, out / "images" / name / own, put)
            lines = [
                " ".join([str(numbers[item.category_id]), *map(_short, _fractions(item, image))])
                for item in split.annotations[image.id]
                if not item.iscrowd and item.category_id is not None
            ]
            text = "".join(f"{line}\n" for line in lines)
            _write((out / "labels" / name / own).with_suffix(".txt"), text)
    classes = [category.name for category in splits[0].categories]
    tree = {"path": ".", "train": "images/train", "val": "images/val"}
    tree |= {"names": dict(enumerate(classes))}
    _write(out / "data.yaml", yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def _voc(splits: Sequence[Dataset], out: Path, put: Put) -> None:
    names = [split.files[image.id].name for split in splits for image in split.images]
    stems = {Path(_flat(name)).stem for name in names}
    for part, split in zip(SPLITS, splits, strict=True):
        classes = {category.id: category.name for category in split.categories}
        listed = []
        for image in split.images:
            own = _flat(split.files[image.id].name)
            own = own if len(stems) == len(names) else f"{part}_{own}"
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


def _flat(name: str) -> str:
    return name.replace("/", "_")


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


def _lost(items: Sequence[Annotation], form: str) -> list[str]:
    """What a format has no room for, counted."""
    if form == "coco":
        return []
    numbers = {
        "ignore region": sum(item.iscrowd or item.category_id is None for item in items),
        "mask": sum(item.segmentation is not None for item in items),
        "difficult mark": sum(item.difficult for item in items) if form == "yolo" else 0,
    }
    return [counted(number, what) for what, number in numbers.items() if number]
