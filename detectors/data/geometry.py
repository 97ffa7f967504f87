"""The geometry of one annotation entry: box, area, segmentation."""

from __future__ import annotations

from detectors.data.records import Box, ImageRecord
from detectors.data.validation import Entry, finite_number, finite_numbers, shown

# Annotation tools round: a box may extend this many pixels beyond the edge, and is clipped.
MAX_OVERHANG = 1.0
_ROUNDING = 1e-6


def read_box(entry: Entry, image: ImageRecord | None) -> Box | None:
    """`bbox` [x, y, width, height] as (x1, y1, x2, y2), clipped if it overhangs by rounding.

    Without an image (because its entry is broken), the box is only checked by itself.
    """
    if not entry.has("bbox"):
        return None
    value = entry.fields["bbox"]
    numbers = finite_numbers(value)
    if numbers is None or len(numbers) != 4:
        entry.reject(
            f"bbox is {shown(value)}, not four finite numbers", "write [x, y, width, height]"
        )
        return None
    x, y, width, height = numbers
    box = (x, y, x + width, y + height)
    if box[2] <= x or box[3] <= y:
        entry.reject(
            f"bbox {shown(value)} is {width:g} wide and {height:g} high",
            "remove the annotation, or draw the box with a positive extent",
        )
        return None
    return box if image is None else _inside(entry, box, image)


def _inside(entry: Entry, box: Box, image: ImageRecord) -> Box | None:
    x1, y1, x2, y2 = box
    where = f"the image of {image.width}x{image.height}"
    bbox = shown(entry.fields["bbox"])
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, image.width), min(y2, image.height))
    left, top, right, bottom = map(float, clipped)
    if left >= right or top >= bottom:
        entry.reject(f"bbox {bbox} lies entirely outside {where}", "remove it or correct the box")
        return None
    overhang = max(abs(new - old) for new, old in zip(clipped, box, strict=True))
    if overhang > MAX_OVERHANG + _ROUNDING:
        inside = [left, top, right - left, bottom - top]
        entry.reject(f"bbox {bbox} reaches {overhang:g} px outside {where}", f"clip it to {inside}")
        return None
    return left, top, right, bottom


def read_area(entry: Entry, box: Box | None) -> float | None:
    """`area` in pixels; an entry without one has the area of its (clipped) box."""
    if "area" not in entry.fields:
        return None if box is None else (box[2] - box[0]) * (box[3] - box[1])
    value = entry.fields["area"]
    area = finite_number(value)
    if area is None or area < 0:
        entry.reject(f"area is {shown(value)}", "write the area in pixels, or leave the key out")
        return None
    return area


def read_segmentation(entry: Entry, image: ImageRecord | None) -> list | dict | None:
    """`segmentation` as polygons of floats or as a run-length encoding of the image's size; None
    when it is missing, null or empty."""
    value = entry.fields.get("segmentation")
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return _polygons(entry, value, image)
    if isinstance(value, dict):
        return _run_lengths(entry, value, image)
    entry.reject(
        f"segmentation is {shown(value)} ({type(value).__name__})",
        "write polygons, a run-length encoding, or leave it out",
    )
    return None


def _polygons(
    entry: Entry, value: list[object], image: ImageRecord | None
) -> list[list[float]] | None:
    polygons = []
    for index, item in enumerate(value):
        points = finite_numbers(item)
        if points is None or len(points) < 6 or len(points) % 2:
            entry.reject(
                f"segmentation[{index}] is {shown(item)}, not a polygon",
                "write [x, y, x, y, x, y, ...]: an even number of finite numbers, six or more",
            )
            return None
        if image is not None and _is_far_outside(points, image):
            entry.reject(
                f"segmentation[{index}] {shown(item)} extends far outside the image of "
                f"{image.width}x{image.height}",
                "correct the polygon or leave it out",
            )
            return None
        polygons.append(points)
    return polygons


def _is_far_outside(points: list[float], image: ImageRecord) -> bool:
    """Whether a point is further outside the image than the image is wide or high. Tools overhang
    by a little; pycocotools walks along every edge and would run out of memory on a huge one."""
    xs, ys = points[0::2], points[1::2]
    return (
        min(xs) < -image.width
        or max(xs) > 2 * image.width
        or min(ys) < -image.height
        or max(ys) > 2 * image.height
    )


def _run_lengths(
    entry: Entry, value: dict[str, object], image: ImageRecord | None
) -> dict[str, object] | None:
    size = value.get("size")
    whole = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
    if not whole or (image is not None and size != [image.height, image.width]):
        fits = "" if image is None else f" [{image.height}, {image.width}]"
        entry.reject(
            f"segmentation has size {shown(size)}", f"write the image's [height, width]{fits}"
        )
        return None
    runs = _runs(value.get("counts"))
    if runs is None or min(runs) < 0 or sum(runs) != size[0] * size[1]:
        entry.reject(
            f"segmentation has counts {shown(value.get('counts'))}",
            "write run lengths that add up to height times width",
        )
        return None
    return {"counts": value["counts"], "size": size}


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
