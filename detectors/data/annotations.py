"""The annotations of a split: each entry held against its image and its class."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path

from detectors.data.areas import area_of, checked_areas
from detectors.data.entries import AnnotationEntry, CategoryEntry, Key
from detectors.data.image_table import Images
from detectors.data.records import Annotation, Box, ImageRecord
from detectors.data.segmentation import Segmentation, enclosed, misfit
from detectors.data.tables import Table, taken
from detectors.data.validation import DataError, Findings, Problem, shown

# Annotation tools round: a box may extend this many pixels beyond the edge, and is clipped.
MAX_OVERHANG = 1.0
_ROUNDING = 1e-6

FEWEST_CORNERS = 5
"""Boxes, from which on it is no coincidence that each is one by its corners, too."""


def check_corners(
    entries: Sequence[AnnotationEntry], records: Mapping[Key, ImageRecord], file: Path
) -> None:
    """Refuse boxes that are written as corners: as sizes, most reach out of their images, and the
    others would be wrong without being noticed.

    Raises:
        DataError: all boxes are corners within their images, and most are not within as sizes.
    """
    number = outside = 0
    for entry in entries:
        image = records.get(entry.image_id)
        if entry.bbox is None or image is None:
            continue
        x, y, right, bottom = entry.bbox
        if not (0 <= x < right <= image.width and 0 <= y < bottom <= image.height):
            return
        number += 1
        outside += (
            x + right > image.width + MAX_OVERHANG or y + bottom > image.height + MAX_OVERHANG
        )
    if number >= FEWEST_CORNERS and 2 * outside > number:
        what = (
            f"all {number} boxes lie in their images as [left, top, right, bottom], and {outside} "
            "reach outside as [x, y, width, height]"
        )
        fix = "write bbox as [x, y, width, height]: subtract left from right and top from bottom"
        raise DataError([Problem(str(file), "annotations", what, fix)])


def read_annotations(
    entries: list[AnnotationEntry],
    images: Images,
    categories: Table[CategoryEntry],
    ignored: Collection[Key],
    findings: Findings,
    file: Path,
) -> list[Annotation]:
    """The annotations that can be used, by ascending id. The list of entries is used up: those of a
    file of COCO's size are in memory once.

    Args:
        ignored: ids of classes whose boxes are ignore regions of all classes.
    """
    numbers = list(_numbers(entries))[::-1]
    entries.reverse()
    found = []
    while entries:
        entry, number = entries.pop(), numbers.pop()
        annotation = _held(entry, number, images, categories, ignored)
        if annotation is not None and entry.ok:
            found.append(annotation)
    return checked_areas(sorted(found, key=lambda item: item.id), findings, str(file))


def _numbers(entries: list[AnnotationEntry]) -> Iterator[int]:
    """The number of each entry: its id if no other one has it.

    pycocotools takes a match with the id 0 for none, and nothing refers to an annotation: one
    without a number, or with one that differs from the one that has it, gets another.
    """
    free = count(1 + max((e.id for e in entries if isinstance(e.id, int)), default=0))
    owners: dict[Key, AnnotationEntry] = {}
    for entry in entries:
        key = entry.id
        if isinstance(key, int) and key > 0 and owners.setdefault(key, entry) is entry:
            yield key
            continue
        if key is not None and key in owners and owners[key].fields() == entry.fields():
            taken(entry, "id", key, owners[key].label)
        elif key == 0:
            what = "id is 0, and pycocotools ignores a match with id 0"
            entry.warn(what, "it gets another number", "annotation id 0")
        elif key in owners:
            what = f"id {shown(key)} is taken already by {owners[key].label}"
            entry.warn(what, "it gets another number", "annotation id taken")
        elif key is not None:
            entry.warn(f"id is {shown(key)}", "it gets a number", "annotation id text")
        yield next(free)


def _held(
    entry: AnnotationEntry,
    number: int,
    images: Images,
    categories: Table[CategoryEntry],
    ignored: Collection[Key],
) -> Annotation | None:
    """The annotation of an entry; None if it, its image or its class cannot be used."""
    _refer(entry, "image_id", images.table)
    _refer(entry, "category_id", categories)
    region = entry.ignore or entry.category_id in ignored
    if entry.ok and entry.category_id is None and not (region or entry.iscrowd):
        fix = "name the class; only an ignore region (iscrowd 1) may have none"
        entry.reject("category_id is None (NoneType)", fix)
    image = images.records.get(entry.image_id)
    box = None if entry.bbox is None else _box(entry, entry.bbox, image)
    broken = entry.image_id in images.table.broken or entry.category_id in categories.broken
    if not entry.ok or broken or image is None or box is None:
        return None
    mask, covered = _mask(entry, image)
    key = None if region else entry.category_id
    category = None if key is None else categories.numbers.get(key)
    return Annotation(
        id=number,
        image_id=image.id,
        category_id=category,
        box=box,
        area=area_of(entry, box, covered),
        iscrowd=entry.iscrowd or region,
        segmentation=mask,
        difficult=entry.difficult,
    )


def _refer(entry: AnnotationEntry, name: str, table: Table) -> None:
    """Reject an id that no entry has."""
    key = getattr(entry, name)
    if key is not None and key not in table.entries:
        known = shown(list(islice(table.entries, 7)))  # `shown` ends in ... after six
        what = f"{name} is {shown(key)}, which is not the id of any entry"
        entry.reject(what, f"use one of {known}")


def _box(entry: AnnotationEntry, bbox: list[float], image: ImageRecord | None) -> Box | None:
    """[x, y, width, height] as (x1, y1, x2, y2), clipped if it overhangs by rounding.

    Without an image (because its entry is broken), the box is only checked by itself.
    """
    x, y, width, height = bbox
    box = (x, y, x + width, y + height)
    if box[2] <= x or box[3] <= y:
        what = f"bbox {shown(bbox)} is {width:g} wide and {height:g} high"
        entry.reject(what, "remove the annotation, or draw the box with a positive extent")
        return None
    if image is None or (x >= 0 and y >= 0 and box[2] <= image.width and box[3] <= image.height):
        return box
    return _clipped(entry, box, image)


def _clipped(entry: AnnotationEntry, box: Box, image: ImageRecord) -> Box | None:
    x1, y1, x2, y2 = box
    where = f"the image of {image.width}x{image.height}"
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, image.width), min(y2, image.height))
    left, top, right, bottom = map(float, clipped)
    if left >= right or top >= bottom:
        what = f"bbox {shown(entry.bbox)} lies entirely outside {where}"
        entry.reject(what, "remove it or correct the box")
        return None
    overhang = max(abs(new - old) for new, old in zip(clipped, box, strict=True))
    if overhang > MAX_OVERHANG + _ROUNDING:
        inside = [round(side, 3) for side in (left, top, right - left, bottom - top)]
        what = f"bbox {shown(entry.bbox)} reaches {overhang:g} px outside {where}"
        entry.reject(what, f"clip it to {inside}", "a box reaches outside its image")
        return None
    return left, top, right, bottom


def _mask(entry: AnnotationEntry, image: ImageRecord) -> tuple[Segmentation | None, float | None]:
    """The mask of an entry and the pixels that it covers, if it is one of the image."""
    mask = entry.segmentation
    if mask is None:
        return None, None
    flaw = misfit(mask, image.width, image.height)
    covered = None if flaw else enclosed(mask)
    if covered:
        return mask, covered
    entry.spare("segmentation", flaw or "segmentation encloses nothing")
    return None, None
