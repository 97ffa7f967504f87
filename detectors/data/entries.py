"""Lists of entries into records, entry by entry."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from detectors.data.geometry import read_area, read_box, read_segmentation
from detectors.data.images import ImageError, ImageFacts, inspect_image, size_mismatch
from detectors.data.records import Annotation, Category, ImageFile, ImageRecord
from detectors.data.validation import Entry, shown

Record = TypeVar("Record")


@dataclass
class Table(Generic[Record]):
    """One list by id: every entry that has an id, the records that could be read, and the broken
    ids, whose records must not be used. An entry that refers to a broken id is dropped with it,
    and is not reported as a further problem."""

    entries: dict[int, Entry] = field(default_factory=dict)
    records: dict[int, Record] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)

    def add(self, entry: Entry, key: int, record: Record | None) -> None:
        """Enter a record. Of two equal entries with one id, the first is kept; if they differ, it
        is ambiguous which one is referred to, and the id is broken."""
        if key in self.entries:
            _reject_taken(entry, "id", key, self.entries[key].label)
            if record != self.records.get(key):
                self.broken.add(key)
                self.records.pop(key, None)
            return
        self.entries[key] = entry
        if record is not None:
            self.records[key] = record
        if not entry.ok:
            self.broken.add(key)

    def reject(self, key: int, what: str, fix: str) -> None:
        self.entries[key].reject(what, fix)
        self.broken.add(key)

    def usable(self) -> list[Record]:
        """The records that are not broken, by ascending id."""
        return [self.records[key] for key in sorted(self.records.keys() - self.broken)]


def read_categories(entries: Iterable[Entry]) -> Table[Category]:
    table: Table[Category] = Table()
    for entry in entries:
        key, name = entry.integer("id", 0), entry.text("name")
        if key is not None:
            table.add(entry, key, None if name is None else Category(key, name))
    return table


def read_images(entries: Iterable[Entry], folder: Path, sized: bool = True) -> Table[ImageRecord]:
    """The image entries, without opening their files; `folder` (resolved) has the files.

    Args:
        sized: each entry has a width and a height; otherwise it may lack both, which are 0 then
            until the file is opened.
    """
    table: Table[ImageRecord] = Table()
    owners: dict[Path, Entry] = {}
    for entry in entries:
        key, path = entry.integer("id", 0), _image_path(entry, folder)
        stated = sized or "width" in entry.fields or "height" in entry.fields
        width, height = (entry.integer(side, 1) if stated else 0 for side in ("width", "height"))
        if path is not None and owners.setdefault(path, entry) is not entry:
            _reject_taken(entry, "file_name", entry.fields["file_name"], owners[path].label)
        if key is not None:
            complete = path is not None and width is not None and height is not None
            table.add(entry, key, ImageRecord(key, path, width, height) if complete else None)
    return table


def _reject_taken(entry: Entry, key: str, value: object, owner: str) -> None:
    entry.reject(
        f"{key} {shown(value)} is taken already by {owner}",
        f"give every entry of the list its own {key}, or remove this one",
    )


def _image_path(entry: Entry, folder: Path) -> Path | None:
    """The file of an image entry; one outside the folder is rejected without opening it."""
    name = entry.text("file_name")
    if name is None:
        return None
    path = folder / name
    stays = not Path(name).is_absolute() and ".." not in Path(name).parts
    try:
        stays = stays and path.resolve().is_relative_to(folder)  # follows links
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a loop of links
        entry.reject(f"file_name {shown(name)} is not a path ({error})", "rename the file")
        return None
    if not stays:
        entry.reject(
            f"file_name {shown(name)} leaves the image folder {str(folder)!r}",
            "put the file there and name it relative to the folder, without '..'",
        )
        return None
    return path


def inspect_images(table: Table[ImageRecord], folder: Path) -> dict[int, ImageFile]:
    """Read each image file once, to its end: decode it, compare its size, hash its content.

    A record without a size gets that of the image as displayed, or is removed with its file.

    Pillow and hashlib release the interpreter lock, so threads use all cores.
    """
    files: dict[int, ImageFile] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        records = list(table.records.values())
        paths = (record.path for record in records)
        for record, facts in zip(records, pool.map(_inspect, paths), strict=True):
            if isinstance(facts, ImageFacts):
                if record.width:
                    _check_size(table, record, facts)
                else:
                    width, height = facts.displayed
                    table.records[record.id] = replace(record, width=width, height=height)
                name = record.path.relative_to(folder).as_posix()
                files[record.id] = ImageFile(name, facts.bytes, facts.sha256, facts.look)
            else:
                fix = "replace it by an intact image, or remove the entry and its annotations"
                table.reject(record.id, str(facts), fix)
                if not record.width:  # Boxes cannot be compared with it.
                    del table.records[record.id]
    return files


def _inspect(path: Path) -> ImageFacts | ImageError:
    try:
        return inspect_image(path)
    except ImageError as error:
        return error
    except FileNotFoundError:
        return ImageError(f"{str(path)!r} does not exist")
    except OSError as error:
        return ImageError(f"{str(path)!r} cannot be opened ({error.strerror})")


def _check_size(table: Table[ImageRecord], record: ImageRecord, facts: ImageFacts) -> None:
    mismatch = size_mismatch((record.width, record.height), facts.stored, facts.displayed)
    if mismatch:
        width, height = facts.displayed
        fix = f"write width {width} and height {height}, and check the boxes against the image"
        table.reject(record.id, f"{str(record.path)!r} {mismatch}", fix)


def read_annotations(
    entries: Iterable[Entry],
    images: Table[ImageRecord],
    categories: Table[Category],
    difficult: bool = False,
) -> list[Annotation]:
    """The valid annotations that refer to a valid image and category, by ascending id.

    Args:
        difficult: entries may be marked as difficult; otherwise such a mark is ignored.
    """
    owners: dict[int, Entry] = {}
    annotations = []
    for entry in entries:
        key = entry.integer("id", 0)
        if key == 0:
            what = "id is 0, and pycocotools ignores a match with id 0"
            entry.reject(what, "number the annotations from 1")
        elif key is not None and owners.setdefault(key, entry) is not entry:
            _reject_taken(entry, "id", key, owners[key].label)
        hard = difficult and entry.flag("difficult")
        annotation = _read_annotation(entry, key, images, categories)
        if annotation is not None:
            annotations.append(replace(annotation, difficult=True) if hard else annotation)
    return sorted(annotations, key=lambda annotation: annotation.id)


def _read_annotation(
    entry: Entry, key: int | None, images: Table[ImageRecord], categories: Table[Category]
) -> Annotation | None:
    image_id = _reference(entry, "image_id", images)
    region = entry.fields.get("category_id", 0) is None and entry.fields.get("iscrowd") == 1
    category_id = None if region else _reference(entry, "category_id", categories)
    image = None if image_id is None else images.records.get(image_id)
    box = read_box(entry, image)
    area = read_area(entry, box)
    iscrowd = entry.flag("iscrowd")
    segmentation = read_segmentation(entry, image)
    if not entry.ok or image_id in images.broken or category_id in categories.broken:
        return None
    if key is None or image_id is None or box is None or area is None:
        return None  # each of these has made the entry one that is not ok
    return Annotation(key, image_id, category_id, box, area, iscrowd, segmentation)


def _reference(entry: Entry, key: str, table: Table) -> int | None:
    value = entry.integer(key, 0)
    if value is not None and value not in table.entries:
        known = shown(list(islice(table.entries, 7)))  # `shown` ends in ... after six
        entry.reject(f"{key} is {value}, which is not the id of any entry", f"use one of {known}")
    return value
