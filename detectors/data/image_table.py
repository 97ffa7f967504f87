"""The images of a split: each entry with its file, which is opened once and compared with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from detectors.activity import active
from detectors.data.entries import ImageEntry, Key
from detectors.data.images import ImageError, ImageFacts, size_mismatch
from detectors.data.paths import Found, ImageFolder, NotFound
from detectors.data.records import ImageFile, ImageRecord
from detectors.data.tables import Table, taken
from detectors.data.validation import Findings

Inspect = Callable[[Path], ImageFacts]
"""Reads an image file to its end; raises `ImageError` or `OSError`."""


AT_ONCE = 1024
"""Images that are handed to the threads at a time."""


@dataclass
class Images:
    """The images of a split.

    Attributes:
        table: their entries.
        records: by id, those whose size is known; the ids of some may be broken.
        files: the content of each, by number.
    """

    table: Table[ImageEntry]
    records: dict[Key, ImageRecord] = field(default_factory=dict)
    files: dict[int, ImageFile] = field(default_factory=dict)

    def usable(self) -> list[ImageRecord]:
        """The records that are not broken, by ascending number."""
        return [self.records[entry.id] for entry in self.table.usable()]


def read_images(
    entries: Iterable[ImageEntry], folder: ImageFolder, inspect: Inspect, findings: Findings
) -> Images:
    """The images of a split, whose files have been read once, to their ends."""
    entries = list(entries)
    paths = _paths(entries, folder)
    images = Images(Table.of(entries, findings))
    chosen = {
        key: paths[id(entry)] for key, entry in images.table.entries.items() if id(entry) in paths
    }
    # Pillow and hashlib release the interpreter lock, so threads use all cores.
    pairs = list(chosen.items())
    with (
        active("Checking images", len(pairs)) as advance,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        for start in range(0, len(pairs), AT_ONCE):  # facts and futures of all would add up
            part = pairs[start : start + AT_ONCE]
            facts = pool.map(lambda pair: _inspected(inspect, pair[1]), part)
            for (key, path), found in zip(part, facts, strict=True):
                _compare(images, key, path, found, folder.folder)
                advance(1)
    return images


def _paths(entries: list[ImageEntry], folder: ImageFolder) -> dict[int, Path]:
    """The file of each entry, by the identity of the entry; two entries cannot have one file."""
    found: dict[int, Found] = {}
    owners: dict[Path, list[ImageEntry]] = {}
    for entry in entries:
        if entry.file_name is None:
            continue
        try:
            file = folder.find(entry.file_name)
        except NotFound as error:
            entry.reject(error.what, error.fix, error.cause)
            continue
        found[id(entry)] = file
        owners.setdefault(file.path, []).append(entry)
    for several in owners.values():
        _one_owner(several, found)
    return {key: file.path for key, file in found.items()}


def _one_owner(entries: list[ImageEntry], found: dict[int, Found]) -> None:
    """Of several entries with one file, the first that names it exactly has it."""
    exact = [entry for entry in entries if found[id(entry)].other is None]
    owner = exact[0] if exact else entries[0]
    for entry in entries:
        other = found[id(entry)].other
        if other and len(entries) == 1:
            entry.warn(*other)
        elif other or entry is not owner:
            second = owner if entry is not owner else entries[1]
            taken(entry, "file_name", entry.file_name, second.label)


def _inspected(inspect: Inspect, path: Path) -> ImageFacts | ImageError:
    try:
        return inspect(path)
    except ImageError as error:
        return error
    except FileNotFoundError:
        if path.is_symlink():
            return ImageError(
                f"{str(path)!r} is a link to {os.readlink(path)!r}, which does not exist"
            )
        return ImageError(f"{str(path)!r} does not exist")
    except OSError as error:
        return ImageError(f"{str(path)!r} cannot be opened ({error.strerror})")


def _compare(
    images: Images, key: Key, path: Path, found: ImageFacts | ImageError, folder: Path
) -> None:
    """Enter an image with the size that its entry states, or else with that of its file."""
    table, number = images.table, images.table.numbers[key]
    entry = table.entries[key]
    stated = (entry.width, entry.height)
    width, height = stated
    if isinstance(found, ImageError):
        fix = "replace it by an intact image, or remove the entry and its annotations"
        table.reject(key, str(found), fix, str(found).replace(repr(str(path)), "").split("(")[0])
    else:
        name = path.relative_to(folder).as_posix()
        images.files[number] = ImageFile(name, found.bytes, found.sha256, found.look)
        size = found.size_as(stated)
        if size is None:
            sides = "width {} and height {}".format(*found.displayed)
            what = f"{str(path)!r} {size_mismatch(stated, found.stored, found.displayed)}"
            fix = f"write {sides}, and check the boxes against the image"
            table.reject(key, what, fix, "another size than stated")
        else:
            width, height = size
        for note in found.notes:
            entry.warn(f"{str(path)!r} {note}", "", note.split("(")[0])
    if width is not None and height is not None:
        images.records[key] = ImageRecord(number, path, width, height)
