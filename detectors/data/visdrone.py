"""VisDrone's format: a text file for each image, a line for each object or ignore region."""

from __future__ import annotations

import re
from pathlib import Path

from detectors.data.entries import AnnotationEntry, ImageEntry, as_float
from detectors.data.image_files import Stems, files_in, folded, in_parallel, is_image
from detectors.data.looking import first_line, paired_folders
from detectors.data.reader import (
    Entries,
    Reader,
    category_entries,
    missing_parts,
    register_reader,
)
from detectors.data.source import DataSource, Split
from detectors.data.validation import Findings, Problem
from searchspace.reading import Unreadable, read_text, shown

CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus",
    "motor",
)  # fmt: skip
REGION, OTHERS = 0, 11
"""Categories whose boxes are ignore regions: regions without annotations, and other vehicles."""

_LINE = re.compile(r"(-?\d+,){4}[01],\d+,\d+,\d+,?\s*$")

FIELDS = 8
"""Of a line: x, y, width, height, score, category, truncation, occlusion."""


@register_reader
class VisDrone(Reader):
    """VisDrone's detection task (Zhu et al., Detection and Tracking Meet Drones Challenge, 2021).

    Regions of category 0, objects of category 11 and lines with a score of 0 are ignore regions of
    all classes. Truncation and occlusion are not used.
    """

    name = "visdrone"
    title = "VisDrone"
    annotations = "a folder of its text files"
    layout = "VisDrone2019-DET-train/ and VisDrone2019-DET-val/, each with images/ and annotations/"

    def recognises(self, folder: Path) -> bool:
        return any(_part(folder, name).is_dir() for name in ("train", "val"))

    def takes(self, annotations: Path) -> bool:
        return "," in first_line(annotations, ".txt")

    def sources(self, place: Path) -> list[DataSource]:
        if place.is_file() or self.recognises(place):
            return list(super().sources(place))
        found = paired_folders(place, _holds_lines, ("annotations",))
        return [DataSource.of(Split(*pair, self.name) for pair in found)] if found else []

    def source(self, folder: Path) -> DataSource:
        parts = (_part(folder, name) for name in ("train", "val"))
        return DataSource.of(Split(p / "images", p / "annotations", self.name) for p in parts)

    def missing(self, split: Split) -> list[Problem]:
        return missing_parts(split, self.layout, in_folder=True)

    def entries(self, split: Split, findings: Findings) -> Entries:
        stems = Stems.of_images(split.images)
        files = files_in(split.annotations, ".txt")
        named = {folded(file.stem) for file in files}
        images_there = (stem for stem, name in stems.items() if is_image(Path(name)))
        lost = sorted(stem for stem in images_there if folded(stem) not in named)
        for stem in lost:
            fix = f"add {stem}.txt, empty if there is nothing on it, or remove the image"
            what = f"there is no file for {str(split.images / stems[stem])!r}"
            findings.reject(split.annotations, stem, what, fix, "an image without a text file")
        images: list[ImageEntry] = []
        annotations: list[AnnotationEntry] = []
        lines = 0
        for number, (file, text) in enumerate(
            zip(files, in_parallel(_text, files), strict=True), start=1
        ):
            if isinstance(text, Problem):
                findings.problems.append(text)
                continue
            found: dict[str, object] = {"id": number, "file_name": stems.file_name(file.stem)}
            images.append(ImageEntry.of(file, "image", found, findings))
            for place, line in enumerate(text.splitlines(), start=1):
                if not line.strip():
                    continue
                lines += 1
                try:
                    fields = _fields(line) | {"id": lines, "image_id": number}
                except ValueError:
                    findings.problems.append(_not_a_line(file, place, line))
                else:
                    entry = AnnotationEntry.of(file, f"line {place}", fields, findings)
                    annotations.append(entry)
        categories = category_entries(split.annotations, CLASSES, findings)
        return Entries(images, categories, annotations, given=(len(files) + len(lost), lines))


def _text(file: Path) -> str | Problem:
    try:
        return read_text(file)
    except Unreadable as error:
        return Problem.of(error)


def _fields(line: str) -> dict[str, object]:
    """The fields of an annotation; raises ValueError for what is no line. It may end in a comma."""
    parts = line.strip().removesuffix(",").split(",")
    box = [as_float(part) for part in parts[:4]]
    score, category, *rest = (int(part) for part in parts[4:])
    if len(rest) != FIELDS - 6 or score not in (0, 1):
        raise ValueError(line)
    region = score == 0 or category in (REGION, OTHERS)
    return {
        "bbox": box,
        "category_id": None if region else category,
        "iscrowd": int(region),
    }


def _not_a_line(file: Path, place: int, line: str) -> Problem:
    fix = (
        "write x,y,width,height,score,category,truncation,occlusion as numbers, the score as 0 or 1"
    )
    return Problem(str(file), f"line {place}", f"is {shown(line)}", fix)


def _holds_lines(folder: Path) -> bool:
    """Whether text files in a folder are of this format."""
    return bool(_LINE.match(first_line(folder, ".txt")))


def _part(folder: Path, name: str) -> Path:
    """The folder of a part, of whatever year; that in it if an archive was unpacked twice."""
    found = sorted(folder.glob(f"VisDrone*-DET-{name}"))
    part = found[-1] if found else folder / f"VisDrone2019-DET-{name}"
    inner = part / part.name
    return inner if inner.is_dir() else part
