"""TT100K's format: traffic signs in one JSON file for all images."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detectors.data.entries import AnnotationEntry, ImageEntry, finite_number
from detectors.data.looking import head
from detectors.data.reader import (
    Entries,
    Reader,
    category_entries,
    register_reader,
)
from detectors.data.source import DataSource, Split
from detectors.data.validation import DataError, Findings, Problem
from searchspace.reading import read_json, read_text, shown

BENCHMARK_CLASSES = (
    "i2", "i4", "i5", "il100", "il60", "il80", "io", "ip", "p10", "p11", "p12", "p19", "p23", "p26",
    "p27", "p3", "p5", "p6", "pg", "ph4", "ph4.5", "ph5", "pl100", "pl120", "pl20", "pl30", "pl40",
    "pl5", "pl50", "pl60", "pl70", "pl80", "pm20", "pm30", "pm55", "pn", "pne", "po", "pr40", "w13",
    "w32", "w55", "w57", "w59", "wo",
)  # fmt: skip
"""The 45 with 100 instances or more, which the benchmark scores and papers train on."""

FILES = ("annotations.json", "annotations_all.json")
_IMAGES = re.compile(r'"imgs"\s*:\s*{')
LIST = "ids.txt"
Reject = Callable[[str, str], None]
"""Enters what is wrong with a place, and the fix."""

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@register_reader
class Tt100k(Reader):
    """Tsinghua-Tencent 100K (Zhu et al., Traffic-Sign Detection in the Wild, 2016).

    Trained on is `train`, validated on `test`; `other` is not used. Where the file's `types` hold
    the benchmark's 45 classes, these are the classes, and signs of other types are left out, as in
    the benchmark; otherwise the classes are the categories of all signs in the file, sorted.
    """

    name = "tt100k"
    title = "TT100K"
    annotations = "annotations.json with imgs"
    layout = "annotations.json, train/ and test/, each with the images and ids.txt"

    def recognises(self, folder: Path) -> bool:
        root = _root(folder)
        return _file(root).is_file() and any((root / p / LIST).is_file() for p in ("train", "test"))

    def takes(self, annotations: Path) -> bool:
        return annotations.suffix == ".json" and bool(_IMAGES.search(head(annotations)))

    def source(self, folder: Path) -> DataSource:
        root = _root(folder)
        return DataSource.of(Split(root / p, _file(root), self.name) for p in ("train", "test"))

    def entries(self, split: Split, findings: Findings) -> Entries:
        file = split.annotations
        known, classes = _document(file)
        ids = {name: number for number, name in enumerate(classes, start=1)}
        images: list[ImageEntry] = []
        annotations: list[AnnotationEntry] = []
        listed = read_text(split.images / LIST).split()
        signs = 0
        for number, name in enumerate(listed, start=1):
            # Its place in the list tells two entries of one image apart.
            label = f"imgs {name}, entry {number} of {LIST}"
            reject = partial(findings.reject, file, label)
            image = _read_image(reject, known.get(name), split.images.name)
            if image is None:
                continue
            path, objects = image
            found: dict[str, object] = {"id": number, "file_name": path}
            images.append(ImageEntry.of(file, label, found, findings))
            for place, value in enumerate(objects):
                label = f"imgs {name} objects[{place}]"
                sign = _read_sign(partial(findings.reject, file, label), value)
                if sign is not None and sign[0] not in ids:
                    continue
                signs += 1
                if sign is not None:
                    kind, bbox = sign
                    found = {"id": signs, "image_id": number, "category_id": ids[kind]}
                    found["bbox"] = bbox
                    annotations.append(AnnotationEntry.of(file, label, found, findings))
        categories = category_entries(file, classes, findings, "types")
        return Entries(images, categories, annotations, given=(len(listed), signs))


def _root(folder: Path) -> Path:
    inner = folder / "data"
    return inner if _file(inner).is_file() and not _file(folder).is_file() else folder


def _file(root: Path) -> Path:
    found = (root / name for name in FILES)
    return next((file for file in found if file.is_file()), root / FILES[0])


def _document(file: Path) -> tuple[dict[str, Any], Sequence[str]]:
    """The images of a file by id, and the classes; raises `DataError`."""
    document = read_json(file)
    images = document.get("imgs") if isinstance(document, dict) else None
    if not isinstance(images, dict) or not images:
        what = f"is {shown(images)}, not an object with an entry for each image"
        raise DataError(
            [Problem(str(file), "imgs", what, 'write it as {"imgs": {"10056": {...}}}')]
        )
    types = document.get("types")
    if isinstance(types, list) and set(BENCHMARK_CLASSES) <= {str(name) for name in types}:
        return images, BENCHMARK_CLASSES
    objects = (
        sign
        for image in images.values()
        if isinstance(image, dict) and isinstance(image.get("objects"), list)
        for sign in image["objects"]
    )
    found = {sign.get("category") for sign in objects if isinstance(sign, dict)}
    return images, sorted(name for name in found if isinstance(name, str) and name)


def _read_image(reject: Reject, value: object, part: str) -> tuple[str, list[object]] | None:
    """The file of an image and its signs; one of another part is rejected.

    Args:
        part: the folder of the split, with which the path begins.
    """
    if not isinstance(value, dict):
        found = "is missing" if value is None else f"is {shown(value)}, not an object"
        reject(found, f"add it, or remove the id from {part}/{LIST}")
        return None
    path, objects = value.get("path"), value.get("objects", [])
    if not isinstance(path, str) or not path.startswith(f"{part}/"):
        reject(f"path is {shown(path)}", f"write it relative to the data: '{part}/NAME.jpg'")
        return None
    if not isinstance(objects, list):
        reject(f"objects is {shown(objects)}", "write a list")
        return None
    return path.removeprefix(f"{part}/"), objects


def _read_sign(reject: Reject, value: object) -> tuple[str, list[float]] | None:
    """The category of a sign and its box."""
    sign = value if isinstance(value, dict) else {}
    category, corners = sign.get("category"), sign.get("bbox")
    named = isinstance(category, str) and category != ""
    if not named:
        reject(f"category is {shown(category)}", "write the name of the sign's type")
    found = [finite_number(corners.get(c)) for c in CORNERS] if isinstance(corners, dict) else []
    numbers = [number for number in found if number is not None]
    if len(numbers) < len(CORNERS):
        reject(f"bbox is {shown(corners)}", "write xmin, ymin, xmax and ymax in pixels")
    if not named or len(numbers) < len(CORNERS):
        return None
    left, top, right, bottom = numbers
    return str(category), [left, top, right - left, bottom - top]
