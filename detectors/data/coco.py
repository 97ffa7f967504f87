"""COCO's format: a folder of images and a JSON file with images, categories and annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from detectors.data.coco_layouts import Files, find_files, root_of, split_images, usual_files
from detectors.data.reader import Entries, Reader, register_reader
from detectors.data.source import DataSource, Split
from detectors.data.validation import DataError, Entry, Problem
from searchspace.reading import Unreadable, read_json, shown

SECTIONS = ("images", "annotations", "categories")
LISTS = ("images", "categories")
"""The lists of a file that describes images without annotations."""


@register_reader
class Coco(Reader):
    """COCO's instances, one file for each split (Lin et al., Microsoft COCO, 2014)."""

    name = "coco"
    title = "COCO"
    annotations = "COCO's JSON file"
    layout = (
        "train/ and val/ with the images, annotations/instances_train.json and "
        "annotations/instances_val.json"
    )

    def recognises(self, folder: Path) -> bool:
        return bool(find_files(folder))

    def source(self, folder: Path) -> DataSource:
        found = find_files(folder)
        return _source(folder, found[0] if found else usual_files(folder))

    def sources(self, place: Path) -> list[DataSource]:
        if place.is_dir():
            return [_source(place, files) for files in find_files(place)]
        if not self.takes(place):
            return []
        root = root_of(place)
        found = [files for files in find_files(root) if place in files.files.values()]
        return [_source(root, found[0] if found else Files(place.name, {"": place}))]

    def takes(self, annotations: Path) -> bool:
        return annotations.suffix.lower() == ".json" and annotations.is_file()

    def entries(self, split: Split, problems: list[Problem]) -> Entries:
        document = read_document(split.annotations)
        images, categories, annotations = (
            list(read_entries(split.annotations, section, document[section], problems))
            for section in ("images", "categories", "annotations")
        )
        given = (len(document["images"]), len(document["annotations"]))
        return Entries(images, categories, annotations, given)


def _source(root: Path, files: Files) -> DataSource:
    """Both splits of COCO files; where there is one file, it is the training data."""
    train = files.member("train") or files.member("") or _other(files, "train")
    val = files.member("val") or _other(files, "val")
    splits = (Split(split_images(root, file), file, Coco.name) for file in (train, val))
    return DataSource(*splits, files.layout)


def _other(files: Files, split: str) -> Path:
    """Where the file of a split that does not exist would be."""
    there = next(iter(files.files.values()))
    if "*" not in files.pattern:
        return there
    root = there.parents[files.pattern.count("/")]
    return root / files.pattern.replace("*", split)


def read_entries(
    file: Path, section: str, values: list[object], problems: list[Problem]
) -> Iterator[Entry]:
    """The JSON objects of one list; anything else in the list is added to the problems."""
    for index, value in enumerate(values):
        label = f"{section}[{index}]"
        if not isinstance(value, dict):
            found = f"is {shown(value)} ({type(value).__name__}), not an object"
            problems.append(Problem(str(file), label, found, "remove it or write it as {...}"))
            continue
        if type(value.get("id")) is int:
            label += f" id {shown(value['id'])}"
        yield Entry(file, label, value, problems)


def read_document(path: Path, sections: Sequence[str] = SECTIONS) -> dict[str, Any]:
    """A COCO annotation file: its lists are checked to be lists, their entries are not read yet.

    UTF-8 with or without a byte order mark, and UTF-16 with one.

    Args:
        sections: the lists that it must have; COCO's files of test images have no annotations.

    Raises:
        DataError: the file cannot be read or is not a JSON object, or one of the lists is missing,
            is not a list, or (images and categories) is empty.
    """
    try:
        document = read_json(path)
    except Unreadable as error:
        raise DataError([Problem.of(error)]) from None
    if not isinstance(document, dict):
        found = f"is {shown(document)} ({type(document).__name__}), not an object"
        keys = ", ".join(f'"{key}": [...]' for key in sections)
        raise DataError([Problem(str(path), "top level", found, f"write it as {{{keys}}}")])
    problems = []
    for key in sections:
        what = _section_flaw(document, key)
        if what:
            fix = f"add {key} as a list of objects, as in COCO's instances_*.json"
            problems.append(Problem(str(path), key, what, fix))
    if problems:
        raise DataError(problems)
    return document


def _section_flaw(document: dict[str, object], key: str) -> str | None:
    if key not in document:
        return "is missing"
    if not isinstance(document[key], list):
        return f"is {shown(document[key])} ({type(document[key]).__name__}), not a list"
    if not document[key] and key != "annotations":
        return "is an empty list"
    return None
