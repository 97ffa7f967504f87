"""Areas of objects, which decide what is small: held against the box and the mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from detectors.data.entries import AnnotationEntry
from detectors.data.records import Annotation, Box
from detectors.data.validation import Findings

LEAST = 3
"""Objects, from which on equal areas or equal shares of the box are no coincidence."""

LARGEST_SHARE = 0.45
"""Of its box that every object of a file may fill alike in a file of another scale. Diamonds fill a
half, and ellipses 0.785."""


def area_of(entry: AnnotationEntry, box: Box, covered: float | None) -> float:
    """The area of an object in pixels: as stated if that can be right, or else that of its mask, or
    of its box, with a warning.

    Args:
        covered: the area of its mask, if it has one.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    own = covered or width * height
    if entry.area is None or _can_be(entry.area, width, height, covered):
        return own if entry.area is None else entry.area
    of = "mask" if covered else "box"
    what = f"area is {entry.area:g}, which cannot be that of a box of {width:g}x{height:g}"
    what += f" with a mask of {covered:g}" if covered else ""
    entry.warn(what, f"the area of the {of} is used: {own:g}", "area cannot be right")
    return own


def _can_be(area: float, width: float, height: float, covered: float | None) -> bool:
    """Whether an area is possible.

    It is not larger than the box, whose sides may be rounded. An object in one piece that reaches
    all sides of its box has a pixel in each row and column; half of that is allowed for. One with a
    mask covers what the mask does, within a factor of two and its outline.
    """
    if not 0 < area <= (width + 2) * (height + 2):
        return False
    if covered:
        outline = width + height + 4
        return covered / 2 - outline <= area <= covered * 2 + outline
    return area >= min(max(width, height), width * height) / 2


def checked_areas(
    annotations: Sequence[Annotation], findings: Findings, file: str
) -> list[Annotation]:
    """The annotations; where the areas of all objects without a mask are equal, or are an equal and
    small share of their boxes, as placeholders and areas of another scale are, those of the boxes
    are used, with a warning."""
    bare = [item for item in annotations if item.segmentation is None and not item.iscrowd]
    area = np.array([item.area for item in bare])
    boxes = np.array([_of_box(item) for item in bare])
    if len(bare) < LEAST or np.ptp(boxes) == 0 or np.isclose(area, boxes).mean() > 0.5:
        return list(annotations)
    share = area / boxes
    equal = np.ptp(area) == 0
    if not equal and not (share.max() < LARGEST_SHARE and np.ptp(share) < 0.02 * share.max()):
        return list(annotations)
    what = (
        f"area is {area[0]:g} for all {len(bare)} objects without a mask, whatever their boxes"
        if equal
        else f"area is {share.mean():.3g} of the box for all {len(bare)} objects without a mask, "
        "as of another scale"
    )
    findings.warn(file, "annotations", what, "the areas of the boxes are used", what, len(bare))
    return [
        replace(item, area=_of_box(item))
        if item.segmentation is None and not item.iscrowd
        else item
        for item in annotations
    ]


def _of_box(item: Annotation) -> float:
    x1, y1, x2, y2 = item.box
    return (x2 - x1) * (y2 - y1)
