"""COCO's format: a folder of images and a JSON file with images, categories and annotations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from detectors.data.coco_layouts import (
    PLACES,
    Files,
    find_files,
    root_of,
    split_images,
    usual_files,
)
from detectors.data.entries import AnnotationEntry, CategoryEntry, Entry, ImageEntry
from detectors.data.foreign import foreign_file
from detectors.data.json_lists import Irregular, JsonLists
from detectors.data.reader import Entries, Reader, register_reader
from detectors.data.segmentation import read_segmentation
from detectors.data.source import DataSource, Split
from detectors.data.validation import DataError, Findings, Problem
from searchspace.reading import Unreadable, parse_json, read_text, shown

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
            found = [_source(place, files) for files in find_files(place)]
            apart = found and place.name in PLACES and not found[0].train.images.is_dir()
            return self.sources(place.parent) if apart else found
        if not self.takes(place) or foreign_file(place):
            return []
        root = root_of(place)
        found = [files for files in find_files(root) if place in files.files.values()]
        return [_source(root, found[0] if found else Files(place.name, {"": place}))]

    def takes(self, annotations: Path) -> bool:
        return annotations.suffix.lower() == ".json" and annotations.is_file()

    def entries(self, split: Split, findings: Findings) -> Entries:
        return read_lists(split.annotations, findings)


def _source(root: Path, files: Files) -> DataSource:
    """Both splits of COCO files; where there is one file, it is the training data."""
    train = files.member("train") or files.member("") or _other(files, "train")
    val = files.member("val") or _other(files, "val")
    splits = (Split(split_images(root, file), file, Coco.name) for file in (train, val))
    return DataSource.of(splits, files.layout)


def _other(files: Files, split: str) -> Path:
    """Where the file of a split that does not exist would be."""
    there = next(iter(files.files.values()))
    if "*" not in files.pattern:
        return there
    root = there.parents[files.pattern.count("/")]
    return root / files.pattern.replace("*", split)


OTHER_TASKS = {"segments_info": "panoptic segments", "caption": "captions"}
"""Keys of annotations of COCO's other tasks, and what these are."""

MODELS: dict[str, type[Entry]] = {
    "images": ImageEntry,
    "annotations": AnnotationEntry,
    "categories": CategoryEntry,
}
USUAL = {"images": ("width", "height"), "annotations": ("area",), "categories": ()}
"""Keys that COCO's own entries have, and others' may lack."""


def read_lists(file: Path, findings: Findings, sections: Sequence[str] = SECTIONS) -> Entries:
    """The entries of a file's lists.

    Args:
        sections: the lists that are read, and that the file must have.

    Raises:
        DataError: as `read_document`.
    """
    before = deepcopy(findings)
    try:
        with file.open(encoding="utf-8-sig") as handle:
            entries = _typed(file, JsonLists(handle).elements(sections), findings)
        if not (entries.images and entries.categories):
            raise Irregular("an empty list")
    except (Irregular, OSError, UnicodeDecodeError):  # UTF-16, or something to be said
        findings.restore(before)
        document = read_document(file, sections)
        values = ((section, value) for section in sections for value in document[section])
        return _typed(file, values, findings)
    return entries


def _typed(file: Path, values: Iterable[tuple[str, object]], findings: Findings) -> Entries:
    """The entries of what stands in lists, each after the name of its list."""
    entries: dict[str, list[Any]] = {section: [] for section in SECTIONS}
    counts = dict.fromkeys(SECTIONS, 0)
    for section, value in values:
        entry = read_entry(file, section, counts[section], value, findings)
        counts[section] += 1
        if entry is not None:
            entries[section].append(entry)
    return Entries(**entries, given=(counts["images"], counts["annotations"]))


def read_entry(
    file: Path, section: str, index: int, value: object, findings: Findings
) -> Entry | None:
    """One element of a list; anything but a JSON object is a problem."""
    label = f"{section}[{index}]"
    if not isinstance(value, dict):
        found = f"is {shown(value)} ({type(value).__name__}), not an object"
        findings.reject(file, label, found, "remove it or write it as {...}")
        return None
    if section == "annotations":
        _check_task(file, value)
    if "id" in value:
        key = value["id"]
        label += f" id {key if type(key) is int and abs(key) < 2**64 else shown(key)}"
    around = _box_of_mask(value) if section == "annotations" and not value.get("bbox") else None
    entry = MODELS[section].of(file, label, value | (around or {}), findings)
    if around:
        entry.warn("has no bbox", "the box around its mask is used", "no bbox")
    for key in USUAL[section]:
        if value.get(key) is None:
            entry.lacks(key)
    attributes = value.get("attributes")
    if isinstance(attributes, dict) and attributes.get("rotation"):
        what = f"attributes.rotation is {shown(attributes['rotation'])}"
        entry.warn(what, "it is not used: boxes are taken upright, as they stand", "rotation")
    return entry


def _check_task(file: Path, annotation: dict[str, Any]) -> None:
    """Refuse a file of another of COCO's tasks; raises `DataError`."""
    task = next((words for key, words in OTHER_TASKS.items() if key in annotation), None)
    if task:
        what, fix = f"are {task}, without boxes", "give the file of instances"
        raise DataError([Problem(str(file), "annotations", what, fix)])


def _box_of_mask(annotation: dict[str, Any]) -> dict[str, object] | None:
    """The box around the polygons of an annotation, as its field; None if there are none."""
    try:
        polygons = read_segmentation(annotation.get("segmentation"))
    except ValueError:
        return None
    if not isinstance(polygons, list) or not polygons:
        return None
    xs, ys = ([side for points in polygons for side in points[axis::2]] for axis in (0, 1))
    return {"bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]}


def read_document(path: Path, sections: Sequence[str] = SECTIONS) -> dict[str, Any]:
    """A COCO annotation file: its lists are checked to be lists, their entries are not read yet.

    UTF-8 with or without a byte order mark, and UTF-16 with one.

    Args:
        sections: the lists that it must have; COCO's files of test images have no annotations.

    Raises:
        DataError: the file cannot be read or is not a JSON object, or one of the lists is missing,
            is not a list, or (images and categories) is empty.
    """
    return _document(path, _text(path), sections)


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except Unreadable as error:
        raise DataError([Problem.of(error)]) from None


def _document(path: Path, text: str, sections: Sequence[str]) -> dict[str, Any]:
    try:
        document = parse_json(path, text)
    except Unreadable as error:
        raise DataError([Problem.of(error)]) from None
    if not isinstance(document, dict):
        found = f"is {shown(document)} ({type(document).__name__}), not an object"
        keys = ", ".join(f'"{key}": [...]' for key in sections)
        kind = foreign_file(path)
        fix = f"it is {kind.name}: {kind.instead}" if kind else f"write it as {{{keys}}}"
        raise DataError([Problem(str(path), "top level", found, fix)])
    problems = []
    for key in sections:
        what = _section_flaw(document, key)
        if what:
            fix = f"add {key} as a list of objects, as in COCO's instances_*.json"
            problems.append(Problem(str(path), key, what, fix, f"{key} {what}"))
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
