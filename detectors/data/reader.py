"""What a data reader is: the contract, where a split lies, and the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from detectors.data.validation import DataError, Entry, Problem
from searchspace.names import Names, check_implemented

R = TypeVar("R", bound="type[Reader]")


@dataclass(frozen=True)
class Split:
    """Where one split lies, as it is given, and as a study stores it.

    Both paths become absolute with links resolved, because a trial may run in another working
    directory.

    Attributes:
        images: the folder that its images lie in, or in folders below.
        annotations: the file that says what is on them, from which a reader finds others, or a
            folder of such files.
        reader: the name of the reader of its format.
    """

    images: Path
    annotations: Path
    reader: str = "coco"

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", Path(self.images).resolve())
        object.__setattr__(self, "annotations", Path(self.annotations).resolve())
        READERS.check(self.reader)


@dataclass(frozen=True)
class DataSource:
    """The split that a detector is trained on, and the one that it is validated on."""

    train: Split
    val: Split

    @classmethod
    def from_folder(cls, folder: Path | str) -> DataSource:
        """The data in a folder, whose format is that of the one reader that recognises it.

        Raises:
            DataError: no reader does, or several do, or a part of the data does not exist.
        """
        root = Path(folder).resolve()
        name = "''" if folder == "" else str(root)
        what = "is not a path" if folder == "" else _absent(root, root.is_dir(), "not a folder")
        if what:
            raise DataError([Problem(name, "data folder", what, _known_layouts())])
        reader = _reader_of(root)
        source = reader.source(root)
        if missing := reader.missing(source.train) + reader.missing(source.val):
            raise DataError(missing)
        return source


@dataclass(frozen=True)
class Entries:
    """All that a reader found of one split; what its entries say is checked afterwards.

    An entry is `Entry(file, label, fields, problems)`. Its fields are, in any format:

    Attributes:
        images: `id`, from 0; `file_name`, relative to `Split.images`; `width` and `height` in
            pixels, which may be left out if the format does not always state them.
        categories: `id`, from 0, and `name`.
        annotations: `id`, from 1; `image_id`; `category_id`, or None for an ignore region of all
            classes; `bbox` as [x, y, width, height] in pixels from the image's upper left corner.
            May be left out: `area` in pixels, by default the box's; `iscrowd`, 1 for an ignore
            region; `segmentation`, as polygons or run lengths of COCO; `difficult`, 1 for an object
            that is not scored, if the reader `flags_difficult`.
        given: how many images and annotations there were, if some could not even become entries.
    """

    images: Sequence[Entry]
    categories: Sequence[Entry]
    annotations: Sequence[Entry]
    given: tuple[int, int] | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """How many images and annotations there were."""
        return self.given or (len(self.images), len(self.annotations))


def category_entries(
    file: Path, names: Iterable[str], problems: list[Problem], what: str = ""
) -> list[Entry]:
    """The entries of classes, numbered from 1.

    Args:
        file: what messages name.
        what: what the file calls a class, before its name in messages.
    """
    return [
        Entry(file, f"{what} {name}".strip(), {"id": number, "name": name}, problems)
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
        states_sizes: whether the format states width and height of each image. Where they are
            stated, they are compared with the file, and otherwise taken from it.
        flags_difficult: whether annotations may be `difficult`; where not, the word means nothing.
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    states_sizes: ClassVar[bool] = True
    flags_difficult: ClassVar[bool] = False

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
    def entries(self, split: Split, problems: list[Problem]) -> Entries:
        """All images, categories and annotations of a split, those of bad content included.

        Ids are the same each time the same files are read, and those of categories the same for
        training and validation data, because the data's fingerprint contains them.

        Args:
            problems: a place that cannot become an entry is added to them; with `--skip-bad`, the
                rest is used nevertheless.

        Raises:
            DataError, Unreadable: a file cannot be read at all; see `searchspace.reading`.
        """

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
    absent = _absent(images, images.is_dir(), "not a folder")
    if in_folder:
        kind, lacking = "folder", _absent(given, given.is_dir(), "not a folder")
    else:
        kind, lacking = "file", _absent(given, given.is_file(), "not a file")
    parts = ((images, "image folder", absent), (given, f"annotation {kind}", lacking))
    fix = f"expected layout: {layout}"
    return [Problem(str(path), part, what, fix) for path, part, what in parts if what]


READERS: Names[Reader] = Names("data reader")
"""Every reader by its name."""


def register_reader(reader: R) -> R:
    """Class decorator: add a reader.

    Raises:
        TypeError: the class does not fulfil the contract of `Reader`.
        ValueError: another reader has its name.
    """
    check_implemented(f"data reader {reader.__name__}", reader, ("name", "layout"))
    READERS.register(reader.name, reader())
    return reader


def _reader_of(folder: Path) -> Reader:
    """The one reader that recognises a folder; raises `DataError`."""
    found = [reader for reader in READERS.values() if reader.recognises(folder)]
    if len(found) == 1:
        return found[0]
    if not found:
        what, fix = "has no known layout", _known_layouts()
    else:
        what = f"is laid out for the readers {' and '.join(reader.name for reader in found)}"
        fix = "keep the files of one format"
    raise DataError([Problem(str(folder), "data folder", what, fix)])


def _absent(path: Path, usable: bool, otherwise: str) -> str | None:
    """What is wrong with a path that is not usable."""
    if usable:
        return None
    return f"is {otherwise}" if path.exists() else "does not exist"


def _known_layouts() -> str:
    layouts = "; or ".join(f"{reader.layout} ({name})" for name, reader in READERS.items())
    return f"expected layout: {layouts}; a plugin's is known with --plugin"
