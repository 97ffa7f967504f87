"""A part of a COCO annotation file: chosen classes, and a seeded choice of its images."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from detectors.data.coco import read_document, read_entries
from detectors.data.entries import read_categories
from detectors.data.validation import DataError, Entry, Problem
from searchspace.errors import InputError

Fields = dict[str, Any]


def cut_annotations(
    file: Path,
    classes: Sequence[str],
    count: int | None = None,
    seed: int = 0,
    all_images: bool = False,
) -> Fields:
    """The annotation file reduced to some classes and images; all else is unchanged, ids included.

    Image files are not opened. The images are the first `count` of a seeded shuffle, so a smaller
    subset with the same seed is contained in a larger one.

    Args:
        classes: names of the categories to keep, with their annotations.
        count: number of images to keep; all candidates by default.
        all_images: images without an object of the classes are candidates too, as for a validation
            set; otherwise only those with one (ignore regions do not count).

    Raises:
        DataError: an entry cannot be read.
        ValueError: the file has no such class, or fewer candidates than `count`.
    """
    document = read_document(file)
    problems: list[Problem] = []
    images, categories, annotations = (
        list(read_entries(file, section, document[section], problems))
        for section in ("images", "categories", "annotations")
    )
    chosen = _category_ids(file, categories, classes)
    ids = _integers(images, "id")
    kept = [entry for entry in annotations if entry.integer("category_id", 0) in chosen]
    holding = _integers((entry for entry in kept if not _is_crowd(entry)), "image_id")
    if problems:
        raise DataError(problems)
    candidates = sorted(ids if all_images else ids & holding)
    selected = _first(file, candidates, count, seed)
    return document | {
        "info": _info(document, classes, count, seed, all_images),
        "images": _fields(entry for entry in images if entry.fields["id"] in selected),
        "annotations": _fields(entry for entry in kept if entry.fields["image_id"] in selected),
        "categories": _fields(entry for entry in categories if entry.fields["id"] in chosen),
    }


def _category_ids(file: Path, entries: Iterable[Entry], classes: Sequence[str]) -> set[int]:
    names = {category.id: category.name for category in read_categories(entries).usable()}
    if unknown := sorted(set(classes) - set(names.values())):
        known = ", ".join(sorted(names.values()))
        raise InputError(f"{file}: no class named {', '.join(unknown)}; it has {known}")
    return {key for key, name in names.items() if name in classes}


def _integers(entries: Iterable[Entry], field: str) -> set[int]:
    """A field of all entries; entries where it is not an integer are added to the problems."""
    return {value for entry in entries if (value := entry.integer(field, 0)) is not None}


def _is_crowd(entry: Entry) -> bool:
    return "iscrowd" in entry.fields and entry.integer("iscrowd", 0, 1) == 1


def _first(file: Path, candidates: list[int], count: int | None, seed: int) -> set[int]:
    """The first `count` of a seeded shuffle."""
    if count is not None and count > len(candidates):
        raise InputError(
            f"{file}: {count} images were requested, but only {len(candidates)} are available; "
            "request fewer, or include images without the classes"
        )
    random.Random(seed).shuffle(candidates)
    return set(candidates[:count])


def _info(
    document: Fields, classes: Sequence[str], count: int | None, seed: int, all_images: bool
) -> Fields:
    """The file's `info`, extended by how it was cut."""
    own = document.get("info")
    cut = {"classes": sorted(classes), "count": count, "seed": seed, "all_images": all_images}
    return (own if isinstance(own, dict) else {}) | {"subset": cut}


def _fields(entries: Iterable[Entry]) -> list[Fields]:
    return [entry.fields for entry in entries]
