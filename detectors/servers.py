"""Files of detections as the evaluation servers of COCO and Pascal VOC take them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectors.data.dataset import Dataset
from detectors.files import write_atomically
from searchspace.errors import InputError

VOC_FILE = "comp4_det_test_{}.txt"
"""Of VOC's fourth competition, detection with any training data, one for each class."""


def write_coco(results: Sequence[dict[str, Any]], file: Path) -> None:
    """Detections in COCO's result form, with the ids of images and categories in the data."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(list(results)))


def check_voc_names(split: Dataset) -> None:
    """Raise `InputError` if VOC's files could not name an image or a class: an image is called by
    its file's name without folder and suffix, and a class is part of a file's name."""
    files: dict[str, Path] = {}
    for image in split.images:
        other = files.setdefault(image.path.stem, image.path)
        if other != image.path:
            raise InputError(
                f"{image.path} and {other} would both be {image.path.stem!r} in VOC's files; "
                "rename one of them"
            )
        if len(image.path.stem.split()) != 1:
            raise InputError(
                f"{image.path}: a space in its name would end the first column of VOC's files; "
                "rename the image without spaces"
            )
    for category in split.categories:
        if "/" in category.name:
            raise InputError(
                f"the class {category.name!r}: VOC has a file for each class, named after it; "
                "rename the class without a slash"
            )


def write_voc(results: Sequence[dict[str, Any]], split: Dataset, folder: Path) -> None:
    """A file for each class, with a line `image score xmin ymin xmax ymax` for each detection.

    Corners are numbers of pixels, from 1, and both belong to the box.
    """
    names = {image.id: image.path.stem for image in split.images}
    lines: dict[int, list[str]] = defaultdict(list)
    for result in results:
        x, y, width, height = result["bbox"]
        corners = (x + 1, y + 1, x + width, y + height)
        numbers = " ".join(f"{number:.6f}" for number in (result["score"], *corners))
        lines[result["category_id"]].append(f"{names[result['image_id']]} {numbers}\n")
    folder.mkdir(parents=True, exist_ok=True)
    for category in split.categories:
        write_atomically(folder / VOC_FILE.format(category.name), "".join(lines[category.id]))
