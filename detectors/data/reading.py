"""Reading and validation of a split, in whatever format it is, and of train and val together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detectors.data.coco import LISTS, read_document, read_entries
from detectors.data.dataset import Dataset
from detectors.data.entries import (
    inspect_images,
    read_annotations,
    read_categories,
    read_images,
)
from detectors.data.held_out import part_of
from detectors.data.image_files import image_files
from detectors.data.reader import missing_parts
from detectors.data.readers import READERS, DataSource, Entries, Reader, Split
from detectors.data.records import Annotation
from detectors.data.validation import DataError, Entry, Problem
from searchspace.reading import Unreadable

__all__ = ["read_source", "read_split", "read_unannotated"]


def read_split(split: Split, skip_bad: bool = False) -> Dataset:
    """Read and validate one split: every entry, and every image to its last byte.

    Boxes that extend beyond the image by at most one pixel are silently clipped, and a missing
    `area` becomes the box's; everything else that is wrong is a problem. With `skip_bad`, bad
    entries are dropped (a bad image or category with its annotations) and listed in `skipped`.

    Raises:
        DataError: with every problem found. With `skip_bad`, only if the folder or the lists of the
            file are missing, no image or no category is left, or boxes are not in pixels.
    """
    if split.cut:
        return part_of(read_split(split.whole, skip_bad), split, split.cut)
    reader = READERS[split.reader]
    if missing := reader.missing(split):
        raise DataError(missing)
    problems: list[Problem] = []
    try:
        listed = reader.entries(split, problems)
    except Unreadable as error:
        raise DataError([Problem.of(error)]) from None
    return _checked(split, listed, reader, problems, skip_bad)


def read_unannotated(
    images: Path, listing: Path | None, classes: Sequence[str], skip_bad: bool = False
) -> Dataset:
    """Images to be detected on, each of which is read to its last byte; a split without objects.

    Args:
        images: their folder.
        listing: a COCO file with images and categories, such as `image_info_test-dev2017.json`, of
            which annotations are not read; None for all images in the folder and those below it,
            which are numbered from 1 by name.
        classes: those of the categories, numbered from 1, if there is no file.

    Raises:
        DataError: with every problem found, as `read_split` does.
    """
    problems: list[Problem] = []
    split = Split(images, listing or images)
    if missing := missing_parts(split, "a folder of images", in_folder=listing is None):
        raise DataError(missing)
    if listing:
        document = read_document(listing, LISTS)
        files, categories = (
            list(read_entries(listing, key, document[key], problems)) for key in LISTS
        )
        listed = Entries(files, categories, [], given=(len(document["images"]), 0))
        return _checked(split, listed, READERS["coco"], problems, skip_bad)
    names = [str(file.relative_to(split.images)) for file in image_files(split.images)]
    files, categories = (
        [Entry(images, value, {"id": n, key: value}, problems) for n, value in enumerate(values, 1)]
        for key, values in (("file_name", names), ("name", classes))
    )
    return _checked(split, Entries(files, categories, []), None, problems, skip_bad)


def _checked(
    split: Split, listed: Entries, reader: Reader | None, problems: list[Problem], skip_bad: bool
) -> Dataset:
    """What a reader found, checked and as records; without a reader, sizes are not stated."""
    category_table = read_categories(listed.categories)
    sized = reader is not None and reader.states_sizes
    image_table = read_images(listed.images, split.images, sized)
    files = inspect_images(image_table, split.images)
    difficult = reader is not None and reader.flags_difficult
    found = read_annotations(listed.annotations, image_table, category_table, difficult)
    usable = image_table.usable()
    by_image: dict[int, list[Annotation]] = {image.id: [] for image in usable}
    for annotation in found:
        by_image[annotation.image_id].append(annotation)
    result = Dataset(
        images=tuple(usable),
        categories=tuple(category_table.usable()),
        annotations={key: tuple(items) for key, items in by_image.items()},
        skipped=tuple(problems),
        files={key: files[key] for key in by_image},
        listed=listed.counts,
    )
    if flaws := _normalised(split.annotations, found):
        raise DataError(flaws)
    problems += _empty(split, listed)
    if problems and not (skip_bad and result.images and result.categories):
        raise DataError(problems)
    return result


def _empty(split: Split, listed: Entries) -> list[Problem]:
    """A problem for each list that must not be empty, and is."""
    lists = {"images": listed.images, "categories": listed.categories}
    return [
        Problem(str(split.annotations), name, "there are none", "add at least one")
        for name, entries in lists.items()
        if not entries
    ]


def _normalised(file: Path, found: Sequence[Annotation]) -> list[Problem]:
    """A problem if boxes are fractions of the image, as in some formats.

    Read as pixels, such a box lies within the first pixel. A single one may be right; if most do,
    and at fractions of a pixel, they are not in pixels.
    """
    inside = [item for item in found if max(item.box[2:]) <= 1]
    fractions = any(not side.is_integer() for item in inside for side in item.box)
    if not fractions or 2 * len(inside) < len(found):
        return []
    what = (
        f"{len(inside)} of {len(found)} boxes lie in 0..1, as if they were fractions of the image"
    )
    fix = "write bbox as [x, y, width, height] in pixels: multiply by the image's width and height"
    return [Problem(str(file), "annotations", what, fix)]


def read_source(source: DataSource, skip_bad: bool = False) -> tuple[Dataset, Dataset]:
    """Read train and val as `read_split` does, and compare their categories.

    Raises:
        DataError: with the problems of both; also if their categories differ, or if all boxes of
            train are ignore regions.
    """
    train, val = _both(source, skip_bad)
    problems = _unlike_categories(source, train, val) + _no_boxes(source, train)
    if problems:
        raise DataError(problems)
    return train, val


def _both(source: DataSource, skip_bad: bool) -> tuple[Dataset, Dataset]:
    """Train and val; what both are cut from is read once."""
    cuts = [split.cut for split in (source.train, source.val) if split.cut]
    if len(cuts) == 2 and source.train.whole == source.val.whole:
        whole = read_split(source.train.whole, skip_bad)
        train, val = (part_of(whole, source.train, cut) for cut in cuts)
        return train, val
    splits: list[Dataset] = []
    problems: list[Problem] = []
    for split in (source.train, source.val):
        try:
            splits.append(read_split(split, skip_bad))
        except DataError as error:
            problems += error.problems
    if problems:  # One file may hold both splits, and its problems count once.
        raise DataError(dict.fromkeys(problems))
    train, val = splits
    return train, val


def _unlike_categories(source: DataSource, train: Dataset, val: Dataset) -> list[Problem]:
    in_train = {(category.id, category.name) for category in train.categories}
    in_val = {(category.id, category.name) for category in val.categories}
    file = str(source.val.annotations)
    fix = f"give it the categories of {str(source.train.annotations)!r}, with the same ids"
    return [
        Problem(file, f"categories id {key}", f"{name!r} is {where}", fix)
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
