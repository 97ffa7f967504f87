"""A part of a COCO annotation file: chosen classes, and a seeded choice of its images."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from detectors.data.coco import read_document, read_entry
from detectors.data.entries import Key
from detectors.data.records import as_typed
from detectors.data.tables import Table, numbered
from detectors.data.validation import DataError, Findings
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
        classes: names of the categories to keep, with their annotations; each may be several with
            commas between them, as a name may have commas itself.
        count: number of images to keep; all candidates by default.
        all_images: images without an object of the classes are candidates too, as for a validation
            set; otherwise only those with one (ignore regions do not count).

    Raises:
        DataError: an entry cannot be read.
        ValueError: the file has no such class, or fewer candidates than `count`.
    """
    document = read_document(file)
    findings = Findings()
    images, categories, annotations = (
        _listed(file, section, document[section], findings)
        for section in ("images", "categories", "annotations")
    )
    names = {
        entry.id: as_typed(entry.name)
        for entry in Table.of((entry for entry, _ in categories), findings).usable()
    }
    wanted = _names(file, classes, set(names.values()))
    chosen = {key for key, name in names.items() if name in wanted}
    kept = [pair for pair in annotations if pair[0].category_id in chosen]
    unread = any(entry.id is None for entry, _ in images) or any(
        entry.image_id is None or (entry.category_id is None and not entry.iscrowd)
        for entry, _ in annotations
    )
    if unread:
        raise DataError(findings.problems)
    ids = {entry.id for entry, _ in images}
    holding = {entry.image_id for entry, _ in kept if not entry.iscrowd}
    candidates = sorted(ids if all_images else ids & holding, key=numbered(ids).__getitem__)
    selected = _first(file, candidates, count, seed)
    return document | {
        "info": _info(document, wanted, count, seed, all_images),
        "images": [value for entry, value in images if entry.id in selected],
        "annotations": [value for entry, value in kept if entry.image_id in selected],
        "categories": [value for entry, value in categories if entry.id in chosen],
    }


def _listed(
    file: Path, section: str, values: list[Any], findings: Findings
) -> list[tuple[Any, Fields]]:
    """The entries of a list, each with what it was read from."""
    entries = (read_entry(file, section, i, value, findings) for i, value in enumerate(values))
    return [(e, value) for e, value in zip(entries, values, strict=True) if e is not None]


def _names(file: Path, texts: Sequence[str], known: Collection[str]) -> set[str]:
    """The names in texts, where there are classes of all of them."""
    found = {name for text in texts for name in _split(as_typed(text), known)}
    if unknown := sorted(found - set(known)):
        there = ", ".join(map(repr, sorted(known)))
        raise InputError(f"{file}: no class named {', '.join(map(repr, unknown))}; it has {there}")
    return found


def _split(text: str, known: Collection[str]) -> Iterator[str]:
    """The names in a text, of which each is as long as one that is known can be."""
    parts = text.split(",")
    while parts:
        ends = (n for n in range(len(parts), 0, -1) if ",".join(parts[:n]).strip() in known)
        end = next(ends, 1)
        yield ",".join(parts[:end]).strip()
        parts = parts[end:]


def _first(file: Path, candidates: list[Key], count: int | None, seed: int) -> set[Key]:
    """The first `count` of a seeded shuffle."""
    if count is not None and count > len(candidates):
        raise InputError(
            f"{file}: {count} images were requested, but only {len(candidates)} are available; "
            "request fewer, or include images without the classes"
        )
    random.Random(seed).shuffle(candidates)
    return set(candidates[:count])


def _info(
    document: Fields, classes: Collection[str], count: int | None, seed: int, all_images: bool
) -> Fields:
    """The file's `info`, extended by how it was cut."""
    own = document.get("info")
    cut = {"classes": sorted(classes), "count": count, "seed": seed, "all_images": all_images}
    return (own if isinstance(own, dict) else {}) | {"subset": cut}
