"""What a data reader is: the contract of what finds and reads the data of one format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from detectors.data.entries import AnnotationEntry, CategoryEntry, ImageEntry
from detectors.data.source import READERS, DataSource, Split, absent
from detectors.data.validation import Findings, Problem
from searchspace.names import check_implemented

R = TypeVar("R", bound="type[Reader]")


@dataclass(frozen=True)
class Entries:
    """All that a reader found of one split; it is compared with the images afterwards.

    Attributes:
        images, categories, annotations: made by `of` of their classes, such as
            `ImageEntry.of(file, "line 4", {"id": 4, "file_name": "a.png"}, findings)`.
        given: how many images and annotations there were, if some could not even become entries.
    """

    images: list[ImageEntry]
    categories: list[CategoryEntry]
    annotations: list[AnnotationEntry]
    given: tuple[int, int] | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """How many images and annotations there were."""
        return self.given or (len(self.images), len(self.annotations))


def category_entries(
    file: Path, names: Iterable[str], findings: Findings, what: str = ""
) -> list[CategoryEntry]:
    """The entries of classes, numbered from 1.

    Args:
        file: what messages name.
        what: what the file calls a class, before its name in messages.
    """
    return [
        CategoryEntry.of(file, f"{what} {name}".strip(), {"id": number, "name": name}, findings)
        for number, name in enumerate(names, start=1)
    ]


class Reader(ABC):
    """What finds and reads the data of one format.

    A reader is a class with these attributes and three methods, registered by `@register_reader`.
    From then on, `--data FOLDER` and `search(space, FOLDER, ...)` take folders of its format, and a
    study stores its name, so that resuming reads the data in the same way.

    It says what is in the files, not whether it is right: images are opened, and boxes, names and
    ids are checked, alike for all formats, by `detectors.data.reading.read_split`.

    Attributes:
        name: what studies call it.
        layout: what must lie in a folder of its format, for messages.
        title: what people call the format; the name by default.
        annotations: what `takes` takes, for messages.
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    title: ClassVar[str] = ""
    annotations: ClassVar[str] = ""

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether an existing folder is meant to be of this format, even if parts are missing.

        By the names of files that no other format has; nothing is read, and nothing raised.
        """

    @abstractmethod
    def source(self, folder: Path) -> DataSource:
        """Where training and validation data lie in a folder, with the reader's name; they need
        not exist."""

    @abstractmethod
    def entries(self, split: Split, findings: Findings) -> Entries:
        """All images, categories and annotations of a split, those of bad content included.

        Ids are the same each time the same files are read, and those of categories the same for
        training and validation data, because the data's fingerprint contains them.

        Args:
            findings: a place that cannot become an entry is rejected there; with `--skip-bad`, the
                rest is used nevertheless.

        Raises:
            DataError, Unreadable: a file cannot be read at all; see `searchspace.reading`.
        """

    def sources(self, place: Path) -> Sequence[DataSource]:
        """All data of the format at a place that exists: a folder, or a file of the format.

        By default one in a folder that the reader recognises. A reader that knows several layouts
        says which one it found (`DataSource.layout`). No error is raised: what cannot be read is
        reported when it is read.
        """
        return [self.source(place)] if place.is_dir() and self.recognises(place) else []

    def takes(self, annotations: Path) -> bool:
        """Whether the annotations of a split, a file or a folder, are of the format. By default
        they are found in a folder only, and not given by a path of their own."""
        return False

    def missing(self, split: Split) -> list[Problem]:
        """A problem for each part of a split that does not exist."""
        return missing_parts(split, self.layout)


def missing_parts(split: Split, layout: str, in_folder: bool = False) -> list[Problem]:
    """A problem for the image folder or the annotations of a split where they do not exist.

    Args:
        layout: what must lie in a folder of the format.
        in_folder: `split.annotations` is a folder of files.
    """
    images, given = split.images, split.annotations
    lacks_images = absent(images, images.is_dir(), "not a folder")
    if in_folder:
        kind, lacking = "folder", absent(given, given.is_dir(), "not a folder")
    else:
        kind, lacking = "file", absent(given, given.is_file(), "not a file")
    parts = ((images, "image folder", lacks_images), (given, f"annotation {kind}", lacking))
    fix = f"expected layout: {layout}"
    return [Problem(str(path), part, what, fix, str(path)) for path, part, what in parts if what]


def register_reader(reader: R) -> R:
    """Class decorator: add a reader.

    Raises:
        TypeError: the class does not fulfil the contract of `Reader`.
        ValueError: another reader has its name.
    """
    check_implemented(f"data reader {reader.__name__}", reader, ("name", "layout"))
    READERS.register(reader.name, reader())
    return reader
