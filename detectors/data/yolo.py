"""YOLO's format: a text file of normalised boxes for each image, and a YAML file with the classes.

The readers of globox (2.9) and supervision (0.31) are not used, because they do not keep every
object as it is: globox takes images of a single suffix and no segments; supervision rounds segments
to whole pixels, numbers the classes of a mapping with gaps anew, and brings a video decoder and a
plotting library. Neither follows lists of images or finds labels without an image.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.data.entries import AnnotationEntry, CategoryEntry, ImageEntry
from detectors.data.image_files import image_files, in_parallel, is_hidden, is_image
from detectors.data.images import Size, displayed_size
from detectors.data.looking import head, paired_folders
from detectors.data.paths import ONE_FORM, ImageFolder, NotFound
from detectors.data.reader import Entries, Reader, missing_parts, register_reader
from detectors.data.source import VAL_SHARE, DataSource, Split
from detectors.data.validation import DataError, Findings, Problem
from detectors.data.yolo_labels import LabelFiles, holds_labels, not_a_line, object_of
from detectors.data.yolo_yaml import (
    YAML,
    classes_of,
    data_files,
    is_yaml,
    places_in,
    places_of,
    root_of,
    tree_of,
)
from searchspace.reading import Unreadable, read_text, shown
from searchspace.words import counted

LABEL_FOLDERS = ("labels",)


@register_reader
class Yolo(Reader):
    """YOLO's text files, as Ultralytics, Roboflow, CVAT and labelImg write them.

    A line is `CLASS X Y WIDTH HEIGHT` (centre and size), perhaps with a confidence, or
    `CLASS X1 Y1 X2 Y2 X3 Y3 ...` (a segment, which becomes a mask and the box around it), all as
    fractions of the image as it is displayed. With `kpt_shape` in the YAML file, key points follow
    the box. Confidences and key points are not used. The file of an image lies in `labels` where
    the image lies in `images`, or else beside it; an image without one has no objects.

    `train` and `val` of the YAML file are folders, lists of images, or several of them, relative to
    `path` or to the file.
    """

    name = "yolo"
    title = "YOLO"
    annotations = "a data.yaml, a list of images or a folder of labels"
    layout = "data.yaml with train, val and names; images/ and labels/ with a text file for each"

    def recognises(self, folder: Path) -> bool:
        return bool(self.sources(folder))

    def source(self, folder: Path) -> DataSource:
        found = self.sources(folder)
        return found[0] if found else _from_yaml(folder / "data.yaml")

    def sources(self, place: Path) -> list[DataSource]:
        if place.is_file():
            return [_from_yaml(place)] if is_yaml(place) else []
        if found := [_from_yaml(file) for file in data_files(place)] or _from_below(place):
            return found
        found = paired_folders(place, holds_labels, LABEL_FOLDERS)
        return [DataSource.of(Split(*pair, self.name) for pair in found)] if found else []

    def takes(self, annotations: Path) -> bool:
        if annotations.is_dir():
            return holds_labels(annotations)
        suffix = annotations.suffix.lower()
        lines = head(annotations).split("\n", 1) if suffix == ".txt" else [""]
        return suffix in YAML or is_image(Path(lines[0].strip()))

    def missing(self, split: Split) -> list[Problem]:
        if is_yaml(split.annotations):
            try:
                return _missing_places(split)
            except DataError as error:
                return list(error.problems)
        return missing_parts(split, self.layout, in_folder=split.annotations.is_dir())

    def entries(self, split: Split, findings: Findings) -> Entries:
        names, key_points = classes_of(split)
        listed = _once(_listed(split, findings), findings)
        files = LabelFiles(split)
        labels = files.of([dict.fromkeys((item.named, item.path)) for item in listed])
        texts = list(in_parallel(_text, labels))
        if listed and not any(text is not None for text in texts):
            images_in_all = counted(len(listed), "image")
            what = f"none of {images_in_all} has a file of labels, such as {labels[0]}"
            fix = "put the labels there, with the images' names"
            raise DataError([Problem(str(split.annotations), "labels", what, fix)])
        sizes = in_parallel(displayed_size, [item.path for item in listed])
        images: list[ImageEntry] = []
        annotations: list[AnnotationEntry] = []
        lines = 0
        found = zip(listed, labels, texts, sizes, strict=True)
        for number, (item, file, text, size) in enumerate(found, start=1):
            name = item.path.relative_to(split.images).as_posix()
            fields: dict[str, object] = {"id": number, "file_name": name}
            image = ImageEntry.of(item.file, item.label, fields, findings)
            images.append(image)
            if isinstance(text, Problem):
                findings.problems.append(text)
                continue
            if text is not None and file.stem != item.path.stem:
                what = f"the labels of {shown(name)} are read from {shown(file.name)}"
                image.warn(what, ONE_FORM, "case or Unicode form")
            for label, fields in _objects(file, text or "", size, key_points, findings):
                lines += 1
                if fields:
                    fields |= {"id": lines, "image_id": number}
                    annotations.append(AnnotationEntry.of(file, label, fields, findings))
        lost = files.without_image(labels)
        findings.problems += lost
        categories = [
            CategoryEntry.of(split.annotations, f"names {key}", {"id": key, "name": name}, findings)
            for key, name in names.items()
        ]
        return Entries(images, categories, annotations, given=(len(listed) + len(lost), lines))


def _objects(
    file: Path, text: str, size: Size | None, key_points: int, findings: Findings
) -> Iterator[tuple[str, dict[str, object]]]:
    """Each line with text and what it says, which is nothing where it cannot be read.

    Args:
        size: of the image; None if it is reported, and its objects with it.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        fields: dict[str, object] = {}
        if size is not None:
            try:
                fields = object_of(line, size, key_points)
            except ValueError as error:
                findings.problems.append(not_a_line(file, number, line, str(error)))
        yield f"line {number}", fields


def _from_yaml(file: Path) -> DataSource:
    """Both splits that a file names; what cannot be read is reported when they are read."""
    try:
        tree = tree_of(file)
    except DataError:
        tree = {}
    train, val = (_split(file, tree, name) for name in ("train", "val"))
    usual = Split(file.parent / "images" / "train", file, Yolo.name, "train")
    return DataSource(train or usual, val or train or usual)


def _from_below(folder: Path) -> list[DataSource]:
    """Those of YAML files in a folder of their own beside the images, such as `cfg/`."""
    below = sorted(path for path in folder.glob("*/") if not is_hidden(path.name))
    found = [(path, _from_yaml(file)) for path in below for file in data_files(path)]
    return [
        source
        for path, source in found
        if source.place.is_relative_to(folder) and not source.place.is_relative_to(path)
    ]


def _missing_places(split: Split) -> list[Problem]:
    """A problem for each folder or list of a split that a YAML file names and that does not exist,
    or if it names none; raises `DataError`."""
    file, places = split.annotations, places_in(split)
    if not (places or split.images.is_dir()):
        fix = f"add {split.part or 'train'}, with the folder or the list of its images"
        return [Problem(str(file), split.part, "is missing", fix)]
    fix = f"correct {split.part} in {file}"
    if split.part == "val":
        fix += f", or hold out a share of the training images with {VAL_SHARE}"
    missing = (place.path for place in places if not place.path.exists())
    return [Problem(str(path), split.part, "does not exist", fix) for path in missing]


def _split(file: Path, tree: dict[str, Any], name: str) -> Split | None:
    places = places_of(file, tree, name)
    if not places:
        return None
    folders = [root_of(file, tree) if place.is_list else place.path for place in places]
    common = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    return Split(common, file, Yolo.name, name)


# ---- The images of a split


@dataclass(frozen=True)
class _Listed:
    """An image, and what names it.

    Attributes:
        path: in the image folder, which has no links before it.
        named: the same without links followed: `images` in it leads to the labels.
        file, label: the place that names it, for messages.
    """

    path: Path
    named: Path
    file: Path
    label: str


def _once(listed: Iterator[_Listed], findings: Findings) -> list[_Listed]:
    """Each image once: a list may name one several times, to show it more often."""
    found: dict[Path, _Listed] = {}
    for item in listed:
        if found.setdefault(item.path, item) is not item:
            what = f"{str(item.path)!r} is named already by {found[item.path].label}"
            findings.warn(item.file, item.label, what, "it is read once", "an image named twice")
    return list(found.values())


def _listed(split: Split, findings: Findings) -> Iterator[_Listed]:
    """The images of a split: those of a list, or all in its folders."""
    file = split.annotations
    for place in places_in(split):
        if place.moved:
            what = f"{shown(place.written)} is read as {str(place.path)!r}"
            fix = "write the path as it is here, relative to the file or to `path`"
            findings.warn(file, split.part, what, fix, "a path of another machine")
        yield from _in_place(place.path, split, findings)
    if not places_in(split):
        whole = is_yaml(file) or file.is_dir()
        yield from _in_place(split.images if whole else file, split, findings)


def _in_place(place: Path, split: Split, findings: Findings) -> Iterator[_Listed]:
    if place.suffix.lower() == ".txt" and place.is_file():
        yield from _of_list(place, split, findings)
    elif place.is_dir():
        start = place.resolve()
        for path in image_files(start):
            yield _Listed(path, place / path.relative_to(start), path, "image")
    else:
        fix = f"correct {split.part or 'the path'} there"
        findings.reject(split.annotations, split.part, f"{place} does not exist", fix)


def _of_list(file: Path, split: Split, findings: Findings) -> Iterator[_Listed]:
    folder = ImageFolder(split.images)
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        name, label = line.strip().replace("\\", "/"), f"line {number}"
        if not name:
            continue
        tried = (place / name for place in (file.parent, split.images))
        there = next((path for path in tried if path.exists()), None)
        try:
            path = _inside(there, split.images) if there else None
            if path is None:
                found = folder.find(name)
                path = found.path
                if found.other:
                    findings.warn(file, label, *found.other)
        except NotFound as error:
            findings.reject(file, label, error.what, error.fix, error.cause)
        else:
            yield _Listed(path, path, file, label)


def _inside(path: Path, folder: Path) -> Path | None:
    """A path as one in a folder, whatever links lead there; None if it is none."""
    given = Path(os.path.abspath(path))
    ways = (given, given.parent.resolve() / given.name)
    return next((way for way in ways if way.is_relative_to(folder)), None)


def _text(file: Path) -> str | Problem | None:
    """The labels of an image; None where there is no file."""
    if not file.exists():
        return None
    try:
        return read_text(file)
    except Unreadable as error:
        return Problem.of(error)
