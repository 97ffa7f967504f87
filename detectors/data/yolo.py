"""YOLO's format: a text file of normalised boxes for each image, and a YAML file with the classes.

The readers of globox (2.9) and supervision (0.31) are not used, because they do not keep every
object as it is: globox takes images of a single suffix and no segments; supervision rounds segments
to whole pixels, numbers the classes of a mapping with gaps anew, and brings a video decoder and a
plotting library. Neither follows lists of images or finds labels without an image.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detectors.data.entries import AnnotationEntry, CategoryEntry, ImageEntry, as_float
from detectors.data.image_files import files_in, image_files, in_parallel, is_image
from detectors.data.images import displayed_size
from detectors.data.looking import TOKENS, first_line, head, paired_folders
from detectors.data.reader import Entries, Reader, missing_parts, register_reader
from detectors.data.source import DataSource, Split
from detectors.data.validation import DataError, Findings, Problem
from searchspace.reading import Unreadable, read_text, shown
from searchspace.words import counted

YAML = {".yaml", ".yml"}
LABEL_FOLDERS = ("labels",)
NAME_FILES = ("classes.txt", "obj.names", "classes.names")
LARGEST = 1.5
"""A coordinate beyond it is no fraction of the image; labels overhang by far less."""

DIGITS = 6
"""Of pixels: far more than the fractions have, and no noise of floating point."""

_LABEL = re.compile(r"\d+(\.0+)?(\s+[-+.\deE]+){4,}")
_KEYS = re.compile(r"^(names|nc)\s*:", re.MULTILINE)
_PARTS = re.compile(r"^(train|val)\s*:", re.MULTILINE)


@register_reader
class Yolo(Reader):
    """YOLO's text files, as Ultralytics, Roboflow, CVAT and labelImg write them.

    A line is `CLASS X Y WIDTH HEIGHT` (centre and size), perhaps with a confidence, or
    `CLASS X1 Y1 X2 Y2 X3 Y3 ...` (a segment, which becomes a mask and the box around it), all as
    fractions of the image as it is displayed. With `kpt_shape` in the YAML file, key points follow
    the box. Confidences and key points are not used. The
    file of an image lies in `labels` where the image lies in `images`, or else beside it; an image
    without one has no objects.

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
            return [_from_yaml(place)] if place.suffix.lower() in YAML else []
        files = [file for file in files_in(place, "*.y*ml") if _describes_data(file)]
        if files:
            return [_from_yaml(file) for file in files]
        found = paired_folders(place, _holds_labels, LABEL_FOLDERS)
        return [DataSource.of(Split(*pair, self.name) for pair in found)] if found else []

    def takes(self, annotations: Path) -> bool:
        if annotations.is_dir():
            return _holds_labels(annotations)
        suffix = annotations.suffix.lower()
        lines = head(annotations).split("\n", 1) if suffix == ".txt" else [""]
        return suffix in YAML or is_image(Path(lines[0].strip()))

    def missing(self, split: Split) -> list[Problem]:
        if split.annotations.suffix.lower() in YAML and split.annotations.is_file():
            try:
                _tree(split.annotations)
            except DataError as error:
                return list(error.problems)
        return missing_parts(split, self.layout, in_folder=split.annotations.is_dir())

    def entries(self, split: Split, findings: Findings) -> Entries:
        names, key_points = _classes(split)
        listed = list(_listed(split, findings))
        labels = [_label_file(split, item.path) for item in listed]
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
            images.append(ImageEntry.of(item.file, item.label, fields, findings))
            if isinstance(text, Problem):
                findings.problems.append(text)
                continue
            for place, line in enumerate((text or "").splitlines(), start=1):
                if not line.strip():
                    continue
                lines += 1
                if size is None:
                    continue  # the image is reported, and its objects with it
                try:
                    fields = _object(line.split(), size, key_points)
                except ValueError as error:
                    findings.problems.append(_not_a_line(file, place, line, str(error)))
                    continue
                fields |= {"id": lines, "image_id": number}
                annotations.append(AnnotationEntry.of(file, f"line {place}", fields, findings))
        lost = _without_image(split, labels)
        findings.problems += lost
        categories = [
            CategoryEntry.of(split.annotations, f"names {key}", {"id": key, "name": name}, findings)
            for key, name in names.items()
        ]
        return Entries(images, categories, annotations, given=(len(listed) + len(lost), lines))


@dataclass(frozen=True)
class _Listed:
    """An image, and the file and place that name it."""

    path: Path
    file: Path
    label: str


# ---- The YAML file


def _describes_data(file: Path) -> bool:
    text = head(file)
    return bool(_KEYS.search(text) and _PARTS.search(text)) or file.name == "data.yaml"


def _from_yaml(file: Path) -> DataSource:
    """Both splits that a file names; what cannot be read is reported when they are read."""
    try:
        tree = _tree(file)
    except DataError:
        tree = {}
    train, val = (_split(file, tree, name) for name in ("train", "val"))
    usual = Split(file.parent / "images" / "train", file, Yolo.name, "train")
    return DataSource(train or usual, val or train or usual)


def _split(file: Path, tree: dict[str, Any], name: str) -> Split | None:
    places = _places(file, tree, name)
    if not places:
        return None
    folders = [place if place.suffix.lower() != ".txt" else _root(file, tree) for place in places]
    common = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    return Split(common, file, Yolo.name, name)


def _places(file: Path, tree: dict[str, Any], name: str) -> list[Path]:
    """The folders and lists of a split."""
    named = next((tree[key] for key in TOKENS[name] if tree.get(key)), [])
    values = named if isinstance(named, list) else [named]
    return [_resolved(file, tree, str(value)) for value in values]


def _root(file: Path, tree: dict[str, Any]) -> Path:
    """The folder that paths in the file are relative to: `path`, if it exists, or the file's."""
    given = Path(str(tree.get("path") or "."))
    tried = (file.parent / given, file.parent / given.name, file.parent.parent / given)
    return next((folder for folder in tried if folder.is_dir()), file.parent)


def _resolved(file: Path, tree: dict[str, Any], value: str) -> Path:
    """A path of the file. Roboflow writes one `..` too many, which is left out where that helps."""
    path = Path(value.replace("\\", "/"))
    inner = Path(*(part for part in path.parts if part != ".."))
    root = _root(file, tree)
    tried = (root / path, file.parent / path, root / inner, file.parent / inner)
    return next((place for place in tried if place.exists()), root / path)


class _Texts(yaml.SafeLoader):
    """Numbers, dates and words such as `no` stay the texts that names of classes are."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, words) for tag, words in known if tag.endswith((":null", ":merge"))]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _tree(file: Path) -> dict[str, Any]:
    """The content of a YAML file; raises `DataError`."""
    try:
        # pyrefly: ignore[bad-argument-type] (a subclass of the safe loader)
        tree = yaml.load(read_text(file), _Texts)
    except Unreadable as error:
        raise DataError([Problem.of(error)]) from None
    except (yaml.YAMLError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if deep else " ".join(str(error).split())
        what = f"is not YAML ({reason})"
        raise DataError([Problem(str(file), "file", what, "correct it there")]) from None
    if not isinstance(tree, dict):
        what = f"is {shown(tree)}, not a mapping"
        raise DataError(
            [Problem(str(file), "file", what, "write train, val and names, each a key")]
        )
    return tree


# ---- Classes


def _classes(split: Split) -> tuple[dict[int, str], int]:
    """The names of classes by number, and how many numbers of a line are of key points; raises
    `DataError`, `Unreadable`."""
    file = split.annotations
    if file.suffix.lower() not in YAML or file.is_dir():
        return _names_near(file), 0
    tree = _tree(file)
    return _names(file, tree), _key_points(tree.get("kpt_shape"))


def _key_points(shape: object) -> int:
    """How many numbers of a line are of key points: so many points of so many numbers."""
    sides = [side for side in shape if str(side).isdecimal()] if isinstance(shape, list) else []
    return math.prod(map(int, sides)) if sides else 0


def _names(file: Path, tree: dict[str, Any]) -> dict[int, str]:
    given = tree.get("names")
    found = dict(enumerate(given)) if isinstance(given, list) else given
    if isinstance(found, dict) and found and all(map(_numbered, found, found.values())):
        return {int(key): name for key, name in found.items()}
    if given is None and (near := _name_file(file.parent)):
        return _lines(near)
    what = f"is {shown(given)}" if given is not None else "is missing"
    fix = "write the names of the classes as a list, or as a mapping from their numbers"
    raise DataError([Problem(str(file), "names", what, fix)])


def _numbered(key: object, name: object) -> bool:
    return str(key).isdecimal() and isinstance(name, str)


def _names_near(place: Path) -> dict[int, str]:
    """The classes for labels that no YAML file was given with; from one near them."""
    for folder in [place, *place.parents[:3]]:
        if file := _name_file(folder):
            return _lines(file)
        for file in files_in(folder, "*.y*ml"):
            if _KEYS.search(head(file)):
                return _names(file, _tree(file))
    what = "numbers of classes have no names"
    fix = f"add {NAME_FILES[0]} with a name on each line, or a data.yaml with names"
    raise DataError([Problem(str(place), "labels", what, fix)])


def _name_file(folder: Path) -> Path | None:
    files = (folder / name for name in NAME_FILES)
    return next((file for file in files if file.is_file()), None)


def _lines(file: Path) -> dict[int, str]:
    names = (line.strip() for line in read_text(file).splitlines())
    return dict(enumerate(name for name in names if name))


# ---- Images and labels


def _listed(split: Split, findings: Findings) -> Iterator[_Listed]:
    """The images of a split: those of a list, or all in its folders."""
    file = split.annotations
    is_yaml = file.suffix.lower() in YAML and file.is_file()
    places = _places(file, _tree(file), split.part) if is_yaml and split.part else []
    for place in places or [split.images if is_yaml or file.is_dir() else file]:
        if place.suffix.lower() == ".txt" and place.is_file():
            yield from _of_list(place, split, findings)
        elif place.is_dir():
            yield from (_Listed(path, path, "image") for path in image_files(place.resolve()))
        else:
            fix = f"correct {split.part or 'the path'} there"
            findings.reject(file, split.part, f"{place} does not exist", fix)


def _of_list(file: Path, split: Split, findings: Findings) -> Iterator[_Listed]:
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        tried = (file.parent / name, split.images / name)
        path = next((path for path in tried if path.exists()), tried[0])
        path = Path(os.path.abspath(path))
        if path.is_relative_to(split.images):
            yield _Listed(path, file, f"line {number}")
        else:
            what = f"{shown(name)} lies outside {split.images}"
            fix = "name images relative to the list or to `path`"
            findings.reject(file, f"line {number}", what, fix)


def _label_file(split: Split, image: Path) -> Path:
    """The file of labels of an image."""
    if split.annotations.is_dir():
        return (split.annotations / image.relative_to(split.images)).with_suffix(".txt")
    parts = list(image.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
        return Path(*parts).with_suffix(".txt")
    inside = image.parent / "labels" / image.name
    return (inside if inside.parent.is_dir() else image).with_suffix(".txt")


def _text(file: Path) -> str | Problem | None:
    """The labels of an image; None where there is no file."""
    if not file.exists():
        return None
    try:
        return read_text(file)
    except Unreadable as error:
        return Problem.of(error)


def _without_image(split: Split, labels: Sequence[Path]) -> list[Problem]:
    """A problem for each file of labels without an image, where a split is all of a folder."""
    file = split.annotations
    is_yaml = file.is_file() and file.suffix.lower() in YAML
    places = _places(file, _tree(file), split.part) if is_yaml and split.part else []
    if any(place.suffix == ".txt" for place in places) or not (is_yaml or file.is_dir()):
        return []
    known = set(labels)
    return [
        Problem(
            str(path),
            "file",
            f"its image {path.stem + '.jpg'!r} does not exist",
            "add the image, or remove the labels",
        )
        for folder in sorted({label.parent for label in labels})
        for path in files_in(folder, "*.txt")
        if path not in known and _LABEL.match(head(path, 2**10).strip())
    ]


def _holds_labels(folder: Path) -> bool:
    """Whether text files in a folder, or in one below it, are labels."""
    inner = (path for path in [folder, *folder.glob("*/")] if path.is_dir())
    return any(_LABEL.match(first_line(path, ".txt", NAME_FILES)) for path in inner)


def _object(words: list[str], size: tuple[int, int], key_points: int) -> dict[str, object]:
    """The fields of a line: its class, box and segment in pixels; raises ValueError."""
    number = as_float(words[0])
    values = [as_float(word) for word in words[1:]]
    if not number.is_integer():
        raise ValueError("the class is no integer")
    if len(values) in (5, 4 + key_points):
        values = values[:4]
    if not all(math.isfinite(value) and abs(value) <= LARGEST for value in values):
        raise ValueError("coordinates are fractions of the image, from 0 to 1")
    width, height = size
    fields: dict[str, object] = {"category_id": int(number)}
    if len(values) == 4:
        x, y, w, h = values
        box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        fields["bbox"] = [round(side, DIGITS) for side in box]
        return fields
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers follow the class, not 4 or 6, 8, 10, ...")
    xs = [round(x * width, DIGITS) for x in values[::2]]
    ys = [round(y * height, DIGITS) for y in values[1::2]]
    fields["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    fields["segmentation"] = [[side for point in zip(xs, ys, strict=True) for side in point]]
    return fields


def _not_a_line(file: Path, place: int, line: str, why: str) -> Problem:
    fix = "write CLASS X Y WIDTH HEIGHT, with the box's centre and size as fractions of the image"
    return Problem(str(file), f"line {place}", f"is {shown(line)} ({why})", fix)
