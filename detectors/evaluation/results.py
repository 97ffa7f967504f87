"""Detections on a split as arrays, which read like a list in COCO's result format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, overload

import numpy as np

Row = dict[str, Any]
"""A detection in COCO's result format: `image_id`, `category_id`, `bbox` as x, y, width, height in
pixels, `score`."""


@dataclass(frozen=True, eq=False)
class Results(Sequence[Row]):
    """N detections, image by image.

    Attributes:
        images: [N], ids.
        categories: [N], ids.
        boxes: [N, 4], x, y, width, height in pixels.
        scores: [N].
    """

    images: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Results:
        """Detections in COCO's result format."""
        if isinstance(rows, Results):
            return rows
        return cls(
            np.array([row["image_id"] for row in rows], dtype=np.int64),
            np.array([row["category_id"] for row in rows], dtype=np.int64),
            np.array([row["bbox"] for row in rows], dtype=float).reshape(-1, 4),
            np.array([row["score"] for row in rows], dtype=float),
        )

    @classmethod
    def joined(cls, parts: Iterable[Results]) -> Results:
        """The detections of several parts, in order."""
        columns = [[getattr(part, f.name) for f in fields(cls)] for part in (cls.of(()), *parts)]
        return cls(*map(np.concatenate, zip(*columns, strict=True)))

    def at(self, places: np.ndarray) -> Results:
        """Those at some places, or of a mask."""
        return Results(*(getattr(self, field.name)[places] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.scores)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Row | Results:
        if isinstance(index, slice):
            return Results(*(getattr(self, field.name)[index] for field in fields(self)))
        return {
            "image_id": int(self.images[index]),
            "category_id": int(self.categories[index]),
            "bbox": self.boxes[index].tolist(),
            "score": float(self.scores[index]),
        }

    def __iter__(self) -> Iterator[Row]:
        columns = (getattr(self, field.name).tolist() for field in fields(self))
        for image, category, box, score in zip(*columns, strict=True):
            yield {"image_id": image, "category_id": category, "bbox": box, "score": score}
