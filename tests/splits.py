"""Splits in memory, from boxes alone; their image files do not exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detectors.data.dataset import Annotation, Category, Dataset, ImageFile, ImageRecord

Corners = tuple[float, float, float, float]


def split_of(
    images: Sequence[Sequence[tuple[int, Corners]]],
    size: tuple[int, int] = (100, 100),
    classes: Sequence[str] = ("bolt", "nut"),
    files: Sequence[ImageFile] = (),
) -> Dataset:
    """A split with the label and box (xyxy) of each object of each image, of this width and
    height; images are numbered from 1."""
    records = [ImageRecord(k, Path(f"/none/{k}.png"), *size) for k in range(1, len(images) + 1)]
    number, annotations = 0, {}
    for record, objects in zip(records, images, strict=True):
        found = []
        for label, box in objects:
            number += 1
            area = (box[2] - box[0]) * (box[3] - box[1])
            found.append(Annotation(number, record.id, label, box, area, False, None))
        annotations[record.id] = tuple(found)
    return Dataset(
        images=tuple(records),
        categories=tuple(Category(k, name) for k, name in enumerate(classes, 1)),
        annotations=annotations,
        files=dict(enumerate(files, 1)),
    )
