"""Files of detections for people and for other programs: CSV, and YOLO's labels."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path

from detectors.data.dataset import Dataset, ImageRecord
from detectors.evaluation.results import Results
from detectors.files import write_atomically

COLUMNS = ("image", "class", "score", "x1", "y1", "x2", "y2")


def image_name(split: Dataset, image: ImageRecord) -> str:
    """The name of an image below its folder."""
    return split.files[image.id].name if image.id in split.files else image.path.name


def write_csv(results: Results, split: Dataset, file: Path) -> None:
    """A line for each detection: `COLUMNS`, with corners in pixels of the image."""
    names = {image.id: image_name(split, image) for image in split.images}
    classes = {category.id: category.name for category in split.categories}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in results:
        x, y, width, height = row["bbox"]
        corners = (f"{side:.2f}" for side in (x, y, x + width, y + height))
        found = (names[row["image_id"]], classes[row["category_id"]], f"{row['score']:.6f}")
        writer.writerow((*found, *corners))
    write_atomically(file, text.getvalue())


def write_yolo(results: Results, split: Dataset, folder: Path) -> None:
    """A text file for each image, named as it is: class from 0, the middle, width and height of the
    box in fractions of the image, and the score."""
    lines: dict[int, list[str]] = defaultdict(list)
    sizes = {image.id: (image.width, image.height) for image in split.images}
    for row in results:
        (width, height), (x, y, w, h) = sizes[row["image_id"]], row["bbox"]
        numbers = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height, row["score"])
        label = split.label_of(row["category_id"]) - 1
        lines[row["image_id"]].append(f"{label} {' '.join(f'{n:.6f}' for n in numbers)}\n")
    for image in split.images:
        file = folder / Path(image_name(split, image)).with_suffix(".txt")
        write_atomically(file, "".join(lines[image.id]))
