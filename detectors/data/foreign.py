"""Files of annotation tools that no reader reads: what they are, and what to export instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from detectors.data.image_files import files_in, is_hidden
from detectors.data.looking import head

READABLE = "COCO, YOLO or Pascal VOC"
LOOKED_AT = 3
"""Files of a suffix in a folder that are looked at."""

DEPTH = 3
"""Folders below the one that is given in which files are looked for."""

MOST_FOLDERS = 200


@dataclass(frozen=True)
class Foreign:
    """A kind of file that is not read.

    Attributes:
        name: what it is.
        suffixes: in lower case.
        sign: what its beginning has and that of no other kind.
        instead: what to do.
    """

    name: str
    suffixes: tuple[str, ...]
    sign: re.Pattern[str]
    instead: str

    @classmethod
    def of(cls, name: str, suffixes: str, sign: str, instead: str) -> Foreign:
        return cls(name, tuple(suffixes.split()), re.compile(sign, re.DOTALL), instead)


KINDS = tuple(
    Foreign.of(*row)
    for row in (
        (
            "CVAT's own XML",
            ".xml",
            r"<annotations>\s*<(version|meta|image)\b",
            "export the task as COCO 1.0, Ultralytics YOLO Detection 1.0 or PASCAL VOC 1.1",
        ),
        (
            "LabelMe's JSON",
            ".json",
            r'"imagePath"\s*:|"shape_type"\s*:',
            "convert it with LabelMe's labelme2coco.py or labelme2voc.py",
        ),
        (
            "VGG Image Annotator's JSON",
            ".json",
            r'"_via_|"region_attributes"\s*:',
            "export the annotations in COCO's format",
        ),
        (
            "VGG Image Annotator's CSV",
            ".csv",
            "region_shape_attributes",
            "export the annotations in COCO's format",
        ),
        (
            "Supervisely's JSON",
            ".json",
            r'"(classTitle|geometryType|projectType)"\s*:',
            "export as COCO or YOLO with Supervisely's apps",
        ),
        (
            "Label Studio's own JSON",
            ".json",
            r'"(rectanglelabels|completed_by|from_name|lead_time)"\s*:',
            "export as COCO or YOLO with images",
        ),
        (
            "Labelbox's JSON",
            ".json .ndjson",
            r'"(data_row|Labeled Data|External ID)"\s*:',
            f"convert it to {READABLE}",
        ),
        (
            "CreateML's JSON",
            ".json",
            r'"coordinates"\s*:\s*{',
            f"export as {READABLE}",
        ),
        (
            "a list of detections",
            ".json",
            r'^\s*\[\s*{[^{}]*"score"\s*:',
            "give the file with the images, categories and annotations that they are compared with",
        ),
        (
            "KITTI's labels",
            ".txt",
            r"^[A-Za-z_]+( -?\d+(\.\d+)?){14}",
            f"convert them to {READABLE}",
        ),
        (
            "DOTA's rotated boxes",
            ".txt",
            r"^(imagesource:|gsd:|(-?\d+(\.\d+)? ){8}\S+ [012]\b)",
            f"convert them to upright boxes in {READABLE}",
        ),
        (
            "a table of boxes",
            ".csv",
            r"(?i)^[^\n]*\b(x_?min|x1|bbox|left)\b",
            f"export as {READABLE}",
        ),
        ("TensorFlow's records", ".tfrecord .tfrecords .record", "", f"export as {READABLE}"),
        ("an archive", ".zip .tar .tgz .gz .7z .rar", "", "unpack it, and give its folder"),
    )
)
"""What is known, the surest sign first."""


SUFFIXES = tuple({suffix for kind in KINDS for suffix in kind.suffixes})


def foreign_file(file: Path) -> Foreign | None:
    """The kind of a file that is not read; None if it is no such file."""
    kinds = [kind for kind in KINDS if file.suffix.lower() in kind.suffixes]
    text = head(file).lstrip("\ufeff") if kinds else ""
    return next((kind for kind in kinds if kind.sign.search(text)), None)


def foreign_in(root: Path) -> tuple[Path, Foreign] | None:
    """A file of the surest kind in a folder or some levels below, and the kind; None if there is
    none."""
    for folder in islice(_folders(root, DEPTH), MOST_FOLDERS):
        files = files_in(folder, *SUFFIXES)
        for kind in KINDS:
            own = [file for file in files if file.suffix.lower() in kind.suffixes][:LOOKED_AT]
            if found := next((file for file in own if foreign_file(file) is kind), None):
                return found, kind
    return None


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """A folder and those below it, down to some depth, the nearest first."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        below = (path for folder in level for path in sorted(folder.glob("*/")))
        level = [path for path in below if path.is_dir() and not is_hidden(path.name)]
