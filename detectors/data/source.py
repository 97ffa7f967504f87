"""Where data lie: one split, both of them, and how they are found at a place by looking."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from detectors.data.fetched import Fetched
from detectors.data.foreign import foreign_file, foreign_in
from detectors.data.image_files import is_hidden
from detectors.data.looking import contents, four_options
from detectors.data.validation import DataError, Problem
from searchspace.errors import InputError
from searchspace.masking import is_address
from searchspace.names import Names

READERS: Names[Any] = Names("data reader")
"""Every `detectors.data.reader.Reader` by its name."""

VAL_SHARE = "--val-share 0.2"


@dataclass(frozen=True)
class Cut:
    """A part of the images that lie in one place: those that are held out, or the rest.

    Attributes:
        val_share: the share of images that is held out, between 0 and 1.
        held_out: whether it is the part for validation.
    """

    val_share: float
    held_out: bool

    def __post_init__(self) -> None:
        if not 0 < self.val_share < 1:
            raise InputError(f"val_share is {self.val_share:g}: give a number between 0 and 1")


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
        part: which part of the annotations it is, where they name several, such as the lists of a
            `data.yaml`.
        cut: it is a part of these images only; all of them by default.
        fetched: the data at an address that it lies in; both paths are those on this node then,
            whichever they were made on.
    """

    images: Path
    annotations: Path
    reader: str = "coco"
    part: str = ""
    cut: Cut | None = None
    fetched: Fetched | None = None

    def __post_init__(self) -> None:
        here = Path.resolve if self.fetched is None else self.fetched.here
        object.__setattr__(self, "images", here(Path(self.images)))
        object.__setattr__(self, "annotations", here(Path(self.annotations)))
        READERS.check(self.reader)

    @classmethod
    def at(cls, images: Path | str, annotations: Path | str) -> Split:
        """The split with these images and annotations, whose format is found by looking.

        Raises:
            DataError: the annotations exist, but are of no known format.
        """
        return cls(Path(images), Path(annotations), _format_of(Path(annotations)))

    @property
    def whole(self) -> Split:
        """The images in this place, of which it may be a part."""
        return replace(self, cut=None)

    def shown(self, path: Path) -> str:
        """A path in it, for messages: of data at an address, that."""
        return str(path) if self.fetched is None else self.fetched.shown(path)


@dataclass(frozen=True)
class DataSource:
    """The split that a detector is trained on, and the one that it is validated on.

    Attributes:
        layout: what a reader calls how the data lie, such as `COCO 2017`; empty for given paths.
    """

    train: Split
    val: Split
    layout: str = field(default="", compare=False)

    @property
    def place(self) -> Path:
        """The folder in which both splits lie."""
        images = (self.train.images, self.val.images)
        if images[0].is_absolute() != images[1].is_absolute():
            images = (images[0].absolute(), images[1].absolute())
        return Path(os.path.commonpath(images))

    @property
    def shown(self) -> str:
        """Where both splits lie, for messages: the address, or the folder."""
        return self.train.shown(self.place)

    @classmethod
    def of(cls, splits: Iterable[Split], layout: str = "") -> DataSource:
        """The data of two splits, the training split first."""
        train, val = splits
        return cls(train, val, layout)

    @classmethod
    def from_folder(cls, folder: Path | str, val_share: float | None = None) -> DataSource:
        """The data in a folder, or of a file, whose format is that of the one reader that finds
        data there; those in a subfolder where the folder itself has none.

        Args:
            folder: the folder, or a file from which a reader finds the rest, such as COCO's
                annotations or a `data.yaml`; or the address of a folder, such as `s3://BUCKET/PATH`
                (a text, not a path), of which this node fetches what it lacks.
            val_share: the share of training images that is held out for validation, where there
                is no other validation split.

        Raises:
            DataError: no reader finds data, or several do, or a part of the data does not exist,
                or there is a validation split beside `val_share`.
            RemoteError, NoRoom: data at an address cannot be fetched.
        """
        if is_address(folder):
            fetched = Fetched.of(str(folder))
            with fetched.naming():
                found = cls.from_folder(fetched.folder, val_share)
            return cls.of((replace(s, fetched=fetched) for s in found.splits), found.layout)
        root = Path(folder).resolve()
        what = "is not a path" if folder == "" else absent(root, root.exists(), "unreadable")
        if what:
            name = "''" if folder == "" else str(root)
            raise DataError(
                [Problem(name, "data folder", what, "give a folder of annotated images")]
            )
        source = _only(root, _found_at(root))
        return _held_out(source, val_share) if val_share else _complete(source)

    @classmethod
    def given(cls, data: DataSource | Path | str, val_share: float | None = None) -> DataSource:
        """The data themselves, or those in a folder or at an address; see `from_folder`."""
        return data if isinstance(data, DataSource) else cls.from_folder(data, val_share)

    @classmethod
    def cut_from(cls, split: Split, val_share: float, layout: str = "") -> DataSource:
        """Both parts of one split, of which `val_share` of the images are held out."""
        parts = (replace(split, cut=Cut(val_share, held_out)) for held_out in (False, True))
        return cls.of(parts, layout)

    @property
    def splits(self) -> tuple[Split, Split]:
        return self.train, self.val

    @property
    def format(self) -> str:
        """How the data lie, or else of which format they are, in words."""
        reader = READERS[self.train.reader]
        return f"{self.layout} layout" if self.layout else f"{reader.title or reader.name} format"


def absent(path: Path, usable: bool, otherwise: str) -> str | None:
    """What is wrong with a path that is not usable."""
    if usable:
        return None
    return f"is {otherwise}" if path.exists() else "does not exist"


def _found_at(root: Path) -> dict[Path, list[DataSource]]:
    """All data by the folder that they were found in: the place itself, or else subfolders, down
    to the first that is not alone."""
    if (found := _sources(root)) or root.is_file():
        return {root: found} if found else {}
    inner = sorted(p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))
    found = {folder: there for folder in inner if (there := _sources(folder))}
    alone = len(inner) == 1 and not inner[0].is_symlink()  # a link may lead back
    return found or (_found_at(inner[0]) if alone else {})


def _sources(place: Path) -> list[DataSource]:
    return [
        source if source.layout else replace(source, layout=reader.title or reader.name)
        for reader in READERS.values()
        for source in reader.sources(place)
    ]


def _only(root: Path, found: dict[Path, list[DataSource]]) -> DataSource:
    """The one data set that was found at a place; raises `DataError`."""
    if not found:
        raise DataError([_unknown(root)])
    if len(found) > 1:
        listed = "; ".join(
            f"{folder.name}/ ({' and '.join(source.layout for source in sources)})"
            for folder, sources in found.items()
        )
        fix = f"give the folder of the one that is meant, such as --data {next(iter(found))}"
        raise DataError([Problem(str(root), "data", f"holds several data sets: {listed}", fix)])
    [(folder, sources)] = found.items()
    if len(sources) == 1:
        return sources[0]
    readers = dict.fromkeys(source.train.reader for source in sources)
    if len(readers) > 1:
        what = f"is laid out for the readers {' and '.join(readers)}"
    else:
        what = f"holds several data sets: {' and '.join(source.layout for source in sources)}"
    files = dict.fromkeys(str(s.train.annotations) for s in sources if s.train.annotations != root)
    fix = f"keep the files of one format, or give its file: --data {' or --data '.join(files)}"
    raise DataError([Problem(str(folder), "data", what, fix)])


def _unknown(root: Path) -> Problem:
    titles = ", ".join(reader.title or name for name, reader in READERS.items())
    if root.is_file():
        kind = foreign_file(root)
        what = f"is {kind.name}" if kind else "is not the annotation file of a known format"
        fix = kind.instead if kind else "give a folder, COCO's JSON or YOLO's data.yaml"
        return Problem(str(root), "data", what, f"{fix}; known are {titles}")
    if found := foreign_in(root):
        file, kind = found
        what = f"{file.relative_to(root)} is {kind.name}, which is not read"
        return Problem(str(root), "data folder", what, f"{kind.instead}; known are {titles}")
    fix = (
        f"name images and annotations: {four_options(root)}; or lay it out as one of: "
        f"{_layouts()}; a plugin's layout is known with --plugin"
    )
    return Problem(str(root), "data folder", f"has no known layout: {contents(root)}", fix)


def _layouts() -> str:
    return "; ".join(f"{reader.layout} ({name})" for name, reader in READERS.items())


def _complete(source: DataSource) -> DataSource:
    """A source of which all parts exist; raises `DataError`."""
    train, val = (READERS[split.reader].missing(split) for split in (source.train, source.val))
    if not train and _without_val(source):
        lost = (p for p in (source.val.annotations, source.val.images) if not p.exists())
        what = "there are none" + "".join(f": {path} does not exist" for path in list(lost)[:1])
        fix = f"add them, or hold out a share of the training images with {VAL_SHARE}"
        place = str(source.train.annotations)
        raise DataError([Problem(place, "validation data", what, fix)])
    if missing := train + val:
        raise DataError(missing)
    return source


def _held_out(source: DataSource, val_share: float) -> DataSource:
    if missing := READERS[source.train.reader].missing(source.train):
        raise DataError(missing)
    if source.val != source.train and not READERS[source.val.reader].missing(source.val):
        what = f"there are some already: {source.val.annotations}"
        fix = "leave out --val-share, or give the training images and their annotations alone"
        raise DataError([Problem(str(source.train.annotations), "validation data", what, fix)])
    return DataSource.cut_from(source.train, val_share, source.layout)


def _without_val(source: DataSource) -> bool:
    """Whether there is no trace of a validation split."""
    val = source.val
    return val == source.train or not (val.images.exists() or val.annotations.exists())


def _format_of(annotations: Path) -> str:
    """The name of the reader that takes given annotations; COCO's if they do not exist."""
    others = [r for r in READERS.values() if r.name != "coco"]
    found = next((reader.name for reader in others if reader.takes(annotations)), None)
    if found or not annotations.exists() or READERS["coco"].takes(annotations):
        return found or "coco"
    known = "; ".join(_taken(READERS.values()))
    raise DataError(
        [Problem(str(annotations), "annotations", "are of no known format", f"give {known}")]
    )


def _taken(readers: Iterable[Any]) -> list[str]:
    return [
        f"{reader.annotations} ({reader.title or reader.name})"
        for reader in readers
        if reader.annotations
    ]
