"""The YAML file of YOLO's data: where the images of a split lie, and what classes are called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from detectors.data.image_files import files_in
from detectors.data.looking import TOKENS, head, split_in
from detectors.data.source import Split
from detectors.data.validation import DataError, Problem
from searchspace.reading import Unreadable, read_text, shown

YAML = (".yaml", ".yml")
NAME_FILES = ("classes.txt", "obj.names", "classes.names")

_KEYS = re.compile(r"^(names|nc)\s*:", re.MULTILINE)
_PARTS = re.compile(r"^(train|val)\s*:", re.MULTILINE)
_DRIVE = re.compile(r"[A-Za-z]:")


def is_yaml(file: Path) -> bool:
    """Whether a file is there and called as a YAML file is."""
    return file.suffix.lower() in YAML and file.is_file()


def data_files(folder: Path) -> list[Path]:
    """The YAML files in a folder that describe data."""
    return [file for file in files_in(folder, *YAML) if _describes_data(file)]


def _describes_data(file: Path) -> bool:
    text = head(file)
    return bool(_KEYS.search(text) and _PARTS.search(text)) or file.name == "data.yaml"


class _Texts(yaml.SafeLoader):
    """Numbers, dates and words such as `no` stay the texts that names of classes are."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, words) for tag, words in known if tag.endswith((":null", ":merge"))]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def tree_of(file: Path) -> dict[str, Any]:
    """The content of a YAML file; raises `DataError`."""
    try:
        # pyrefly: ignore[bad-argument-type] (a subclass of the safe loader)
        tree = yaml.load(read_text(file), _Texts)
    except Unreadable as error:
        raise DataError([Problem.of(error)]) from None
    except (yaml.YAMLError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if deep else " ".join(str(error).split())
        what = f"is not YAML ({reason})"
        raise DataError([Problem(str(file), "file", what, "correct it there")]) from None
    if not isinstance(tree, dict):
        what = f"is {shown(tree)}, not a mapping"
        raise DataError(
            [Problem(str(file), "file", what, "write train, val and names, each a key")]
        )
    return tree


# ---- Places


@dataclass(frozen=True)
class Place:
    """A folder of images, or a list of some.

    Attributes:
        path: where it lies, or would.
        written: what the file says.
        moved: whether only the end of that path is there, as after a move from another machine.
    """

    path: Path
    written: str
    moved: bool = False

    @property
    def is_list(self) -> bool:
        return self.path.suffix.lower() == ".txt"


def places_of(file: Path, tree: dict[str, Any], split: str) -> list[Place]:
    """The folders and lists of a split."""
    named = next((tree[key] for key in TOKENS[split] if tree.get(key)), [])
    values = named if isinstance(named, list) else [named]
    return [_place(file, tree, str(value)) for value in values]


def places_in(split: Split) -> list[Place]:
    """The same of a split that a YAML file names; none for other splits."""
    if not (split.part and is_yaml(split.annotations)):
        return []
    return places_of(split.annotations, tree_of(split.annotations), split.part)


def root_of(file: Path, tree: dict[str, Any]) -> Path:
    """The folder that paths in the file are relative to: `path`, if it exists, or the file's."""
    given = Path(_slashes(str(tree.get("path") or ".")))
    tried = (file.parent / given, file.parent / given.name, file.parent.parent / given)
    return next((folder for folder in tried if folder.is_dir()), file.parent)


def _place(file: Path, tree: dict[str, Any], written: str) -> Place:
    path, root = Path(_slashes(written)), root_of(file, tree)
    usual = (root / path, file.parent / path)
    if there := next((place for place in usual if place.exists()), None):
        return Place(there, written)
    for number, tail in enumerate(_tails(_slashes(written))):
        for place in (root / tail, file.parent / tail):
            if place.exists():
                return Place(place, written, moved=number > 0 or path.is_absolute())
    return Place(root / path, written)


def _tails(written: str) -> Iterator[PurePosixPath]:
    """The path without `..`, of which Roboflow writes one too many, and then its shorter ends that
    still tell the splits apart."""
    path = PurePosixPath(_DRIVE.sub("", written, count=1) if _DRIVE.match(written) else written)
    parts = [part for part in path.parts if part not in ("..", "/")]
    for start in range(len(parts)):
        if start == 0 or start + 1 < len(parts) or split_in(parts[start]):
            yield PurePosixPath(*parts[start:])


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


# ---- Classes


def classes_of(split: Split) -> tuple[dict[int, str], int]:
    """The names of classes by number, and how many numbers of a line are of key points.

    Raises:
        DataError, Unreadable: they are not there, or cannot be read.
    """
    if not is_yaml(split.annotations):
        return _names_near(split.annotations), 0
    tree = tree_of(split.annotations)
    return _names(split.annotations, tree), _key_points(tree.get("kpt_shape"))


def _key_points(shape: object) -> int:
    """How many numbers of a line are of key points: so many points of so many numbers."""
    sides = [side for side in shape if str(side).isdecimal()] if isinstance(shape, list) else []
    return math.prod(map(int, sides)) if sides else 0


def _names(file: Path, tree: dict[str, Any]) -> dict[int, str]:
    given = tree.get("names")
    near = file.parent / given if isinstance(given, str) else _name_file(file.parent)
    if (given is None or isinstance(given, str)) and near and near.is_file():
        return _lines(near)
    found = dict(enumerate(given)) if isinstance(given, list) else given
    if isinstance(found, dict) and found and all(map(_numbered, found, found.values())):
        return {int(key): name for key, name in found.items()}
    what = f"is {shown(given)}" if given is not None else "is missing"
    fix = "write the names of the classes as a list, or as a mapping from their numbers"
    raise DataError([Problem(str(file), "names", what, fix)])


def _numbered(key: object, name: object) -> bool:
    return str(key).isdecimal() and isinstance(name, str)


def _names_near(place: Path) -> dict[int, str]:
    """The classes for labels that no YAML file was given with; from one near them."""
    for folder in [place, *place.parents[:3]]:
        if file := _name_file(folder):
            return _lines(file)
        for file in files_in(folder, *YAML):
            if _KEYS.search(head(file)):
                return _names(file, tree_of(file))
    what = "numbers of classes have no names"
    fix = f"add {NAME_FILES[0]} with a name on each line, or a data.yaml with names"
    raise DataError([Problem(str(place), "labels", what, fix)])


def _name_file(folder: Path) -> Path | None:
    return next((file for name in NAME_FILES if (file := folder / name).is_file()), None)


def _lines(file: Path) -> dict[int, str]:
    """The name on each line that has one: an empty line counts, as for the tools that write it."""
    names: Sequence[str] = [line.strip() for line in read_text(file).splitlines()]
    return {number: name for number, name in enumerate(names) if name}
