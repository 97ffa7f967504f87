"""Images held out for validation, where data have no validation split: by groups, reproducibly.

Images that show the same thing stay together, or the figures would be too good: augmented copies
and tiles of one image, which tools name after it, frames in folders that are named as sequences,
and files of equal content. Whether a group is held out depends on names, not on the order of files.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from detectors.data.dataset import Dataset
from detectors.data.records import ImageRecord
from detectors.data.source import Cut, Split
from detectors.data.validation import DataError, Problem
from searchspace.words import counted

COPY = re.compile(
    r"(\.rf\.[0-9a-f]{16,}"  # Roboflow: name_jpg.rf.HASH
    r"|[ _.-]+\(?(aug|augmented|flip|flipped|rot|rotated|copy)\)?[ _.-]*\(?\d*\)?"
    r"|(_\d+){4}"  # SAHI's tiles: name_LEFT_TOP_RIGHT_BOTTOM
    r"|__\d+(\.\d+)?__\d+___\d+"  # DOTA's tiles: name__SCALE__LEFT___TOP
    r")$",
    re.IGNORECASE,
)
"""What tools append to the name of an image of which they make several."""

SEQUENCE = re.compile(
    r"(?<![a-z])(seq|sequence|video|vid|clip|scene|shot|track|drive|uav|cam|camera|session|flight"
    r"|route|recording)s?(?![a-z])",
    re.IGNORECASE,
)
"""What the name of a folder of successive frames has."""


def part_of(whole: Dataset, split: Split, cut: Cut) -> Dataset:
    """The part of a data set that a cut is.

    What was dropped when it was read is listed with the part that is trained on.

    Raises:
        DataError: no image can be held out, because all are of one group, or because each group
            has the only objects of a class.
    """
    held = _held_out(whole, split, cut.val_share)
    images = tuple(image for image in whole.images if (image.id in held) == cut.held_out)
    return replace(
        whole,
        images=images,
        annotations={image.id: whole.annotations[image.id] for image in images},
        files={image.id: whole.files[image.id] for image in images},
        skipped=() if cut.held_out else whole.skipped,
        warnings=() if cut.held_out else whole.warnings,
        listed=None,
    )


def groups_of(whole: Dataset) -> list[list[int]]:
    """The ids of images that stay together, in the order in which groups are held out."""
    homes: dict[str, str] = {}

    def home(key: str) -> str:
        while homes.setdefault(key, key) != key:
            key = homes[key]
        return key

    for image in whole.images:
        homes[home(_source(whole, image))] = home(f"content {whole.files[image.id].sha256}")
    groups: dict[str, list[ImageRecord]] = {}
    for image in whole.images:
        groups.setdefault(home(_source(whole, image)), []).append(image)

    def order(group: list[ImageRecord]) -> str:
        first = min(_source(whole, image) for image in group)
        return hashlib.sha256(first.encode()).hexdigest()

    return [[image.id for image in group] for group in sorted(groups.values(), key=order)]


def _source(whole: Dataset, image: ImageRecord) -> str:
    """The sequence of an image, or else its name without what tells copies apart."""
    folder, _, name = whole.files[image.id].name.rpartition("/")
    if SEQUENCE.search(folder):
        return f"{folder}/"
    stem = name.rpartition(".")[0] or name
    while (shorter := COPY.sub("", stem)) and shorter != stem:
        stem = shorter
    return f"{folder}/{stem}"


def _held_out(whole: Dataset, split: Split, share: float) -> set[int]:
    """The ids of the images that are held out: a share as near as whole groups allow, at least
    one, and never the last objects of a class."""
    groups, left = groups_of(whole), Counter(_classes(whole, (i.id for i in whole.images)))
    wanted, held = share * len(whole.images), set[int]()

    def spared(group: list[int]) -> bool:
        own = Counter(_classes(whole, group))
        return all(left[key] > number for key, number in own.items())

    for group in groups:
        if len(held) + len(group) / 2 <= wanted and spared(group):
            held.update(group)
            left.subtract(_classes(whole, group))
    if not held:
        held.update(min(filter(spared, groups), key=len, default=()))
    if not held or len(held) == len(whole.images):
        what = f"none of {counted(len(groups), 'group')} of images can be held out for validation"
        if len(groups) > 1:
            what += ": each has all objects of a class"
        fix = "add images, or give a validation split of your own"
        raise DataError([Problem(str(split.annotations), "images", what, fix)])
    return held


def _classes(whole: Dataset, ids: Iterable[int]) -> Iterable[int]:
    """The class of each object on some images."""
    found = (item for key in ids for item in whole.annotations[key] if not item.iscrowd)
    return (item.category_id for item in found if item.category_id is not None)
