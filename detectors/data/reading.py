"""Reading and validation of a split, in whatever format it is, and of train and val together."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from detectors.data.annotations import check_corners, read_annotations
from detectors.data.coco import LISTS, read_lists
from detectors.data.dataset import Dataset
from detectors.data.entries import AnnotationEntry, CategoryEntry, ImageEntry, Key
from detectors.data.held_out import part_of
from detectors.data.image_files import image_files
from detectors.data.image_table import Inspect, read_images
from detectors.data.images import MAX_MEGAPIXELS, inspect_image
from detectors.data.paths import ImageFolder
from detectors.data.reader import category_entries, missing_parts
from detectors.data.readers import READERS, DataSource, Entries, Split
from detectors.data.records import Annotation, Category
from detectors.data.tables import Table
from detectors.data.validation import DataError, Findings, Problem, shown
from detectors.data.verdict import SkipBad, judge
from searchspace.reading import Unreadable

__all__ = ["SkipBad", "read_source", "read_split", "read_unannotated"]


IGNORED = {
    "ignore", "ignored", "ignoreregion", "ignoreregions", "ignoredregion", "ignoredregions",
    "dontcare",
}  # fmt: skip
"""Names of ignore regions where they are written as a class, in their letters: VisDrone's
'ignored regions', KITTI's 'DontCare'."""


def read_split(
    split: Split,
    skip_bad: SkipBad = False,
    *,
    links: bool = True,
    max_megapixels: float = MAX_MEGAPIXELS,
    inspect: Inspect | None = None,
) -> Dataset:
    """Read and check one split: every entry, and every image to its last byte.

    What can be mended without a doubt is: boxes that extend beyond the image by at most one pixel
    are clipped, a missing size is taken from the image, a missing or impossible area from the mask
    or the box, names are found in spite of their form, and masks that cannot be read are left out.
    `warnings` says so. Everything else that is wrong is a problem.

    Args:
        skip_bad: leave out entries with problems (an image or a category with its annotations) and
            list them in `skipped`; "anyway" also if less than 90 % are kept.
        links: links in the image folder may lead out of it.
        max_megapixels: larger images are refused.
        inspect: reads an image file in place of `inspect_image`.

    Raises:
        DataError: with every problem found. With `skip_bad`, only if the folder or the lists of the
            file are missing, nothing is left of the images, of a class or of all annotations, two
            classes have one name, boxes are not in pixels, or too little is kept.
        RemoteError, NoRoom: it is at an address, and this node lacks it and cannot fetch it.
    """
    how = {"links": links, "max_megapixels": max_megapixels, "inspect": inspect}
    if split.cut:
        return part_of(read_split(split.whole, skip_bad, **how), split, split.cut)
    if split.fetched is None:
        return _read(split, skip_bad, **how)
    split.fetched.fetch()
    with split.fetched.naming():
        read = _read(split, skip_bad, **how)
    named = split.fetched.named
    return replace(
        read,
        fetched=split.fetched,
        skipped=tuple(map(named, read.skipped)),
        warnings=tuple(map(named, read.warnings)),
    )


def _read(
    split: Split, skip_bad: SkipBad, links: bool, max_megapixels: float, inspect: Inspect | None
) -> Dataset:
    reader = READERS[split.reader]
    if missing := reader.missing(split):
        raise DataError(missing)
    findings = Findings()
    with _without_garbage_collection():
        try:
            listed = reader.entries(split, findings)
        except Unreadable as error:
            raise DataError([Problem.of(error)]) from None
        inspect = inspect or partial(inspect_image, max_megapixels=max_megapixels)
        folder = ImageFolder(split.images, links)
        return _held(split.annotations, folder, listed, findings, inspect, skip_bad)


def read_unannotated(
    images: Path,
    listing: Path | None,
    classes: Sequence[str],
    skip_bad: SkipBad = False,
    *,
    files: Sequence[Path] | None = None,
    links: bool = True,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Dataset:
    """Images to be detected on, each of which is read to its last byte; a split without objects.

    Args:
        images: their folder.
        listing: a COCO file with images and categories, such as `image_info_test-dev2017.json`, of
            which annotations are not read; None for all images in the folder and those below it,
            which are numbered from 1 by name.
        classes: those of the categories, numbered from 1, if there is no file.
        files: those in the folder that are meant, if there is no listing; by default all.
        skip_bad, links, max_megapixels: as for `read_split`.

    Raises:
        DataError: with every problem found, as `read_split` does.
    """
    findings = Findings()
    split = Split(images, listing or images)
    if missing := missing_parts(split, "a folder of images", in_folder=listing is None):
        raise DataError(missing)
    listed = (
        read_lists(listing, findings, LISTS)
        if listing
        else _unlisted(split, classes, files, findings)
    )
    inspect = partial(inspect_image, max_megapixels=max_megapixels)
    folder = ImageFolder(split.images, links)
    return _held(split.annotations, folder, listed, findings, inspect, skip_bad)


def _unlisted(
    split: Split, classes: Sequence[str], chosen: Sequence[Path] | None, findings: Findings
) -> Entries:
    """All images of a folder, or the chosen ones, numbered by name."""
    found = image_files(split.images) if chosen is None else sorted(set(chosen))
    names = [str(file.relative_to(split.images)) for file in found]
    files = [
        ImageEntry.of(split.images, name, {"id": number, "file_name": name}, findings)
        for number, name in enumerate(names, 1)
    ]
    return Entries(files, category_entries(split.images, classes, findings), [])


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of objects without cycles are made, through which each collection would walk."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _held(
    file: Path,
    folder: ImageFolder,
    listed: Entries,
    findings: Findings,
    inspect: Inspect,
    skip_bad: SkipBad,
) -> Dataset:
    """What a reader found, held against the images, as records."""
    for name in ("images", "categories"):
        if not getattr(listed, name) and not findings.problems:
            findings.reject(file, name, "there are none", "add at least one")
    given = listed.counts
    categories = Table.of(listed.categories, findings)
    ignored = _ignored(categories)
    named = _named(listed.annotations, categories, ignored)
    images = read_images(listed.images, folder, inspect, findings)
    check_corners(listed.annotations, images.records, file)
    found = read_annotations(listed.annotations, images, categories, ignored, findings, file)
    usable = images.usable()
    by_image: dict[int, list[Annotation]] = {image.id: [] for image in usable}
    for annotation in found:
        by_image[annotation.image_id].append(annotation)
    result = Dataset(
        images=tuple(usable),
        categories=tuple(
            Category(categories.numbers[entry.id], entry.name)
            for entry in categories.usable()
            if entry.id not in ignored
        ),
        annotations={key: tuple(items) for key, items in by_image.items()},
        skipped=tuple(findings.problems),
        files={key: images.files[key] for key in by_image},
        listed=given,
        warnings=findings.warnings,
    )
    return judge(result, file, named, skip_bad)


def _ignored(categories: Table[CategoryEntry]) -> set[Key]:
    """The ids of classes that are no classes, as some sets write their ignore regions."""
    found = {
        key
        for key, entry in categories.entries.items()
        if entry.name and re.sub("[^a-z]", "", entry.name.lower()) in IGNORED
    }
    for key in found:
        entry = categories.entries[key]
        what = f"{shown(entry.name)} is taken for ignore regions, not for a class"
        fix = "its boxes are neither objects nor background; rename it if it is a class"
        entry.warn(what, fix, "ignored class")
    return found


def _named(
    annotations: Sequence[AnnotationEntry], categories: Table[CategoryEntry], ignored: set[Key]
) -> dict[str, int]:
    """How many annotations each class has, by its name."""
    counts = Counter(entry.category_id for entry in annotations if not entry.ignore)
    return {
        str(entry.name): counts[key]
        for key, entry in categories.entries.items()
        if counts[key] and key not in ignored
    }


def read_source(
    source: DataSource, skip_bad: SkipBad = False, **how: Any
) -> tuple[Dataset, Dataset]:
    """Read train and val as `read_split` does, and compare their categories.

    Args:
        skip_bad, how: those of `read_split`.

    Raises:
        DataError: with the problems of both; also if their categories differ, or if all boxes of
            train are ignore regions.
    """
    train, val = _both(source, skip_bad, how)
    problems = _unlike_categories(source, train, val) + _no_boxes(source, train)
    if problems:
        raise DataError(problems)
    return train, val


def _both(source: DataSource, skip_bad: SkipBad, how: Mapping[str, Any]) -> tuple[Dataset, Dataset]:
    """Train and val; what both are cut from is read once."""
    cuts = [split.cut for split in (source.train, source.val) if split.cut]
    if len(cuts) == 2 and source.train.whole == source.val.whole:
        whole = read_split(source.train.whole, skip_bad, **how)
        train, val = (part_of(whole, source.train, cut) for cut in cuts)
        return train, val
    splits: list[Dataset] = []
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for split in (source.train, source.val):
        try:
            splits.append(read_split(split, skip_bad, **how))
            warnings += splits[-1].warnings
        except DataError as error:
            problems += error.problems
            warnings += error.warnings
    if problems:  # One file may hold both splits, and its problems count once.
        raise DataError(dict.fromkeys(problems), dict.fromkeys(warnings))
    train, val = splits
    return train, val


def _unlike_categories(source: DataSource, train: Dataset, val: Dataset) -> list[Problem]:
    in_train = {(category.id, category.name) for category in train.categories}
    in_val = {(category.id, category.name) for category in val.categories}
    file = str(source.val.annotations)
    fix = f"give it the categories of {str(source.train.annotations)!r}, with the same ids"
    return [
        Problem(file, f"categories id {key}", f"{name!r} is {where}", fix, f"{name} {where}")
        for key, name, where in sorted(
            [(*item, "missing here, but in train") for item in in_train - in_val]
            + [(*item, "here, but not in train") for item in in_val - in_train]
        )
    ]


def _no_boxes(source: DataSource, train: Dataset) -> list[Problem]:
    if any(not item.iscrowd for items in train.annotations.values() for item in items):
        return []
    what = "there is no box to train on (none, or ignore regions only)"
    fix = "annotate objects, in COCO's format with iscrowd 0"
    return [Problem(str(source.train.annotations), "annotations", what, fix)]
