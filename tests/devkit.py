"""Pascal VOC's metric by its definition: loops over images and detections."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from detectors.data.dataset import Dataset

Results = list[dict[str, Any]]
Corners = tuple[float, float, float, float]


def by_definition(split: Dataset, results: Results, category: int) -> tuple[float, float]:
    """Area and 11 points of a class: the development kit's loops, with inclusive corners.

    Corners are numbers of pixels from 1, so that sides have the pixel between them and one more.
    """
    truth, missing = defaultdict(list), 0
    for image, items in split.annotations.items():
        for item in items:
            if item.category_id == category:
                x1, y1, x2, y2 = item.box
                truth[image].append([(x1 + 1, y1 + 1, x2, y2), item.difficult, False])
                missing += not item.difficult
    found = [r for r in results if r["category_id"] == category]
    found.sort(key=lambda r: -r["score"])
    right, wrong = [], []
    for result in found:
        x, y, width, height = result["bbox"]
        box, most, best = (x + 1, y + 1, x + width, y + height), -1.0, None
        for one in truth[result["image_id"]]:
            if (share := overlap(box, one[0])) > most:
                most, best = share, one
        hit = most >= 0.5
        if hit and best[1]:
            continue
        right.append(hit and not best[2])
        wrong.append(not right[-1])
        if hit:
            best[2] = True
    recall = np.cumsum(right) / missing
    precision = np.cumsum(right) / np.maximum(np.cumsum(right) + np.cumsum(wrong), 1)
    points = [
        max((p for p, r in zip(precision, recall, strict=True) if r >= tenth / 10), default=0.0)
        for tenth in range(11)
    ]
    area, before = 0.0, 0.0
    for place, r in enumerate(recall):
        area += (r - before) * max(precision[place:])
        before = r
    return area, sum(points) / 11


def overlap(a: Corners, b: Corners) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return width * height / (sum(areas) - width * height)
