"""The text files of YOLO's labels: which one is that of an image, and what a line says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

from detectors.data.entries import as_float
from detectors.data.image_files import Stems, files_in
from detectors.data.looking import first_line, head
from detectors.data.source import Split
from detectors.data.validation import Problem
from detectors.data.yolo_yaml import NAME_FILES, places_in
from searchspace.reading import shown

LABELS = ".txt"

FOLDERS = (("images", "labels"), ("Images", "Labels"), ("Images", "labels"))
"""What folders of images are called, and those of their labels."""

LARGEST = 1.5
"""A coordinate beyond it is no fraction of the image; labels overhang by far less."""

DIGITS = 6
"""Of pixels: far more than the fractions have, and no noise of floating point."""

_LABEL = re.compile(r"\d+(\.0+)?(\s+[-+.\deE]+){4,}")


def holds_labels(folder: Path) -> bool:
    """Whether text files in a folder, or in one below it, are labels."""
    inner = (path for path in [folder, *folder.glob("*/")] if path.is_dir())
    return any(_LABEL.match(first_line(path, LABELS, NAME_FILES)) for path in inner)


def label_place(image: Path, images: str = "images", labels: str = "labels") -> Path:
    """Where YOLO's tools look for the labels of an image: the last `images` becomes `labels`."""
    parts = list(image.parts)
    place = max(index for index, part in enumerate(parts[:-1]) if part == images)
    parts[place] = labels
    return Path(*parts).with_suffix(LABELS)


class LabelFiles:
    """The files of labels of a split, in folders that are listed once each."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._stems = cache(lambda folder: Stems.of(folder, LABELS))

    def of(self, images: Sequence[Collection[Path]]) -> list[Path]:
        """The file of labels of each image, which need not exist.

        One whose name differs from the image's in case or Unicode form is taken if it is no other
        image's.

        Args:
            images: the path of each, or several that lead to it, as through links to folders.
        """
        places = [[place for path in paths for place in self._places(path)] for paths in images]
        found = [self._first(Stems.get, own) for own in places]
        taken = set(found)
        for number, own in enumerate(places):
            if found[number] is None and (other := self._first(Stems.alike, own)) not in taken:
                found[number] = other
        return [file or own[0] for file, own in zip(found, places, strict=True)]

    def _first(
        self, find: Callable[[Stems, str], str | None], places: Sequence[Path]
    ) -> Path | None:
        names = ((place.parent, find(self._stems(place.parent), place.stem)) for place in places)
        return next((folder / name for folder, name in names if name), None)

    def _places(self, image: Path) -> Iterator[Path]:
        """Where the file may lie, the usual place first."""
        images, given = self._split.images, self._split.annotations
        if given.is_dir():
            if image.is_relative_to(images):
                yield (given / image.relative_to(images)).with_suffix(LABELS)
            return
        for pair in FOLDERS:
            if pair[0] in image.parts[:-1]:
                yield label_place(image, *pair)
        inside = image.parent / "labels" / image.name
        yield (inside if inside.parent.is_dir() else image).with_suffix(LABELS)

    def without_image(self, used: Sequence[Path]) -> list[Problem]:
        """A problem for each file of labels without an image, where a split is all of a folder."""
        places = places_in(self._split)
        if any(place.is_list for place in places) or not (
            places or self._split.annotations.is_dir()
        ):
            return []
        known = set(used)
        return [
            Problem(
                str(path),
                "file",
                f"its image {path.stem + '.jpg'!r} does not exist",
                "add the image, or remove the labels",
            )
            for folder in sorted({label.parent for label in used})
            for path in files_in(folder, LABELS)
            if path not in known and _LABEL.match(head(path, 2**10).strip())
        ]


def object_of(line: str, size: tuple[int, int], key_points: int) -> dict[str, object]:
    """The class, box and segment in pixels that a line says.

    Args:
        size: width and height of the image as displayed.
        key_points: how many numbers follow the box.

    Raises:
        ValueError: it is no such line; the message says why.
    """
    words = line.split()
    number = as_float(words[0])
    values = [as_float(word) for word in words[1:]]
    if not number.is_integer():
        raise ValueError("the class is no integer")
    if len(values) in (5, 4 + key_points, 5 + key_points):
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
        raise ValueError(
            f"{len(values)} numbers follow the class, not 4 or 6, 8, 10, ...; key points need "
            "kpt_shape in the YAML file, and a segment has no confidence"
        )
    xs = [round(x * width, DIGITS) for x in values[::2]]
    ys = [round(y * height, DIGITS) for y in values[1::2]]
    fields["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    fields["segmentation"] = [[side for point in zip(xs, ys, strict=True) for side in point]]
    return fields


def not_a_line(file: Path, place: int, line: str, why: str) -> Problem:
    """The problem of a line that `object_of` does not take."""
    fix = "write CLASS X Y WIDTH HEIGHT, with the box's centre and size as fractions of the image"
    return Problem(str(file), f"line {place}", f"is {shown(line)} ({why})", fix)
