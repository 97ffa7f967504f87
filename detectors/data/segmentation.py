"""Masks of objects as COCO's files have them: polygons, and run lengths in two forms."""

from __future__ import annotations

import math
from array import array
from operator import mul
from typing import Any

from searchspace.reading import shown

RunLengths = dict[str, Any]
"""{"counts": run lengths by columns as a list or a compressed text, "size": [height, width]}"""


class Polygon(array):
    """The numbers [x, y, x, y, ...] of a polygon in eight bytes each; it equals their list.

    As lists, the polygons of COCO's training images take 1.3 GB.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self.tolist() == other if isinstance(other, list) else super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]


Segmentation = list[Polygon] | RunLengths


def read_segmentation(value: object) -> Segmentation | None:
    """A mask as a file has it; None for null and an empty list.

    Raises:
        ValueError: it is no mask; the message says why.
    """
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return [_polygon(index, item) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return _run_lengths(value)
    raise ValueError(f"segmentation is {shown(value)} ({type(value).__name__})")


def _polygon(index: int, value: object) -> Polygon:
    try:
        points = Polygon("d", value) if isinstance(value, list) else None
    except (TypeError, OverflowError):  # no numbers, or an integer beyond 1e308
        points = None
    if points is None or len(points) < 6 or len(points) % 2 or not math.isfinite(sum(points)):
        raise ValueError(
            f"segmentation[{index}] is {shown(value)}, not a polygon [x, y, x, y, x, y, ...]"
        )
    return points


def _run_lengths(value: dict[str, object]) -> RunLengths:
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(s) is int for s in size)):
        raise ValueError(f"segmentation has size {shown(size)}, not [height, width]")
    runs = _runs(counts)
    if runs is None or min(runs) < 0 or sum(runs) != size[0] * size[1]:
        raise ValueError(
            f"segmentation has counts {shown(counts)}, which do not add up to height times width"
        )
    return {"counts": counts, "size": size}


def misfit(mask: Segmentation, width: int, height: int) -> str | None:
    """Why a mask cannot be one of an image of this size, if it cannot.

    Tools overhang by a little. pycocotools walks along every edge, and would run out of memory on a
    point that is further outside the image than the image is wide or high.
    """
    if isinstance(mask, dict):
        if mask["size"] == [height, width]:
            return None
        return f"segmentation has size {mask['size']}, but the image [{height}, {width}]"
    near = min(width, height)
    for index, points in enumerate(mask):
        if min(points) >= -near and max(points) <= 2 * near:
            continue  # Most are, and their coordinates need not be told apart.
        xs, ys = points[0::2], points[1::2]
        if min(xs) < -width or max(xs) > 2 * width or min(ys) < -height or max(ys) > 2 * height:
            return (
                f"segmentation[{index}] {shown(points.tolist())} extends far outside the image of "
                f"{width}x{height}"
            )
    return None


def enclosed(mask: Segmentation) -> float:
    """Pixels that a mask covers; where polygons overlap, they count twice."""
    if isinstance(mask, dict):
        return float(sum((_runs(mask["counts"]) or [])[1::2]))
    return sum(map(_shoelace, mask))


def _shoelace(points: Polygon) -> float:
    """The area of a polygon, by the shoelace formula."""
    xs, ys = points[0::2], points[1::2]
    after_x, after_y = xs[1:] + xs[:1], ys[1:] + ys[:1]
    return abs(sum(map(mul, xs, after_y)) - sum(map(mul, ys, after_x))) / 2


def _runs(counts: object) -> list[int] | None:
    """The run lengths of plain or compressed counts; None when they are neither."""
    if isinstance(counts, list):
        plain = bool(counts) and all(type(run) is int for run in counts)
        return counts if plain else None
    return _decompressed(counts) if isinstance(counts, str) else None


def _decompressed(counts: str) -> list[int] | None:
    """Run lengths of a compressed encoding, or None when it is malformed.

    pycocotools' C code trusts the string, so it is decoded here first. The format is the one of
    `rleFrString` in cocoapi's common/maskApi.c: little-endian groups of five bits with a
    continuation bit, offset by 48; the last group carries the sign; from the fourth run on, the
    difference to the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            return None
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs if runs and shift == 0 else None
