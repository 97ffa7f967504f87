"""What lies in a folder that no reader recognises, for the message that says so."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import filterfalse
from pathlib import Path

from detectors.data.image_files import is_hidden, is_image
from searchspace.reading import encoding_of
from searchspace.words import counted

LISTED = 12
"""The most entries of a folder that are listed."""

ANNOTATIONS = {".json", ".xml", ".txt", ".yaml", ".yml", ".csv"}

IMAGE_FOLDERS = ("images", "JPEGImages", "imgs", "img", "data")
"""What folders of images are called."""

TOKENS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What names of files and folders call a split."""

_TOKEN = re.compile(
    rf"(?<![A-Za-z])({'|'.join(t for ts in TOKENS.values() for t in ts)})(?![A-Za-z])",
    re.IGNORECASE,
)


def split_in(name: str) -> tuple[str, str] | None:
    """The split that a name speaks of, and the name with a `*` in its place.

    `instances_train2017` is of `train`, and `instances_*2017`; None where it speaks of none.
    """
    found = list(_TOKEN.finditer(name))
    if not found:
        return None
    last = found[-1]
    split = next(s for s, tokens in TOKENS.items() if last[0].lower() in tokens)
    return split, f"{name[: last.start()]}*{name[last.end() :]}"


def contents(folder: Path) -> str:
    """What lies in a folder, in words: its files, and how many of a kind lie in its folders."""
    entries = _entries(folder)
    if not entries:
        return "it is empty"
    folders = [entry for entry in entries if entry.is_dir()]
    words = [f"{folder.name}/ ({_counted(_entries(folder))})" for folder in folders[:LISTED]]
    rest = len(folders) - LISTED
    words += [counted(rest, "more folder")] if rest > 0 else []
    files = [entry for entry in entries if entry not in folders]
    few = len(files) <= LISTED // 2
    words += [file.name for file in files] if few else [_counted(files)]
    return f"there are {', '.join(words)}"


def four_options(root: Path) -> str:
    """The four options for images and annotations, filled in where names say what is meant."""
    folders = [root, *_folders(root)]
    images = list(filter(_has_images, folders))
    files = [p for f in folders for p in _entries(f) if _is(p, {".json", ".yaml", ".yml"})]
    files += [f for f in folders if any(_is(p, {".xml", ".txt"}) for p in _entries(f))]
    parts = []
    for split in ("train", "val"):
        for kind, found, unknown in (("images", images, "FOLDER"), ("annotations", files, "FILE")):
            path = next((p for p in found if _speaks_of(p, root, split)), unknown)
            parts.append(f"--{split}-{kind} {path}")
    return " ".join(parts)


def _speaks_of(path: Path, root: Path, split: str) -> bool:
    found = split_in(path.relative_to(root).as_posix())
    return bool(found) and found[0] == split


def _folders(root: Path) -> Iterator[Path]:
    """The folders in a folder, and those in them."""
    for folder in filter(Path.is_dir, _entries(root)):
        yield folder
        yield from filter(Path.is_dir, _entries(folder))


def _entries(folder: Path) -> Sequence[Path]:
    try:
        names = sorted(filterfalse(is_hidden, os.listdir(folder)))
    except OSError:
        return []
    return [folder / name for name in names]


def _is(path: Path, suffixes: set[str] | frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes


def _counted(paths: Sequence[Path]) -> str:
    kinds = Counter(map(_kind, paths))
    return ", ".join(counted(number, kind) for kind, number in kinds.items()) or "empty"


def _kind(path: Path) -> str:
    if is_image(path):
        return "image"
    if _is(path, ANNOTATIONS):
        return f"{path.suffix.lower()[1:].upper()} file"
    return "folder" if path.is_dir() else "other file"


def head(file: Path, size: int = 2**18) -> str:
    """The beginning of a text file; empty if it cannot be read."""
    try:
        with file.open("rb") as handle:
            raw = handle.read(size)
    except OSError:
        return ""
    return raw.decode(encoding_of(raw), errors="replace")


def first_line(folder: Path, suffix: str, besides: Sequence[str] = ()) -> str:
    """The first line of the first file with a suffix that is not empty; '' where there is none.

    Args:
        suffix: in lower case.
        besides: names of files that are passed over.
    """
    files = (p for p in _entries(folder) if _is(p, {suffix}) and p.name not in besides)
    texts = (head(file, 2**12).strip() for file in files)
    return next((text.splitlines()[0] for text in texts if text), "")


Pair = tuple[Path, Path]
"""A folder of images, and the folder of their annotations."""


def paired_folders(
    root: Path, holds: Callable[[Path], bool], names: Sequence[str]
) -> tuple[Pair, Pair] | None:
    """Training and validation images with a folder of files that annotate them.

    They lie side by side, or in folders of their own, for each split or for all: where there is no
    validation split, both are the same.

    Args:
        holds: whether a folder has such files.
        names: what folders of them are called.
    """
    found: dict[str, Pair] = {}
    for place in (root / name for name in names):
        for folder in filter(Path.is_dir, _entries(place)):
            images = (root / name / folder.name for name in IMAGE_FOLDERS)
            there = next((path for path in images if path.is_dir()), None)
            if there and (speaks := split_in(folder.name)) and holds(folder):
                found.setdefault(speaks[0], (there, folder))
    for folder in filter(Path.is_dir, _entries(root)):
        if (speaks := split_in(folder.name)) and (pair := _pair(folder, holds, names)):
            found.setdefault(speaks[0], pair)
    train = found.get("train") or (None if found else _pair(root, holds, names))
    return (train, found.get("val", train)) if train else None


def _pair(folder: Path, holds: Callable[[Path], bool], names: Sequence[str]) -> Pair | None:
    own = [folder / name for name in names]
    places = [place for place in own if place.is_dir() and any(map(holds, _with_inner(place)))]
    for place in places or filter(holds, [folder]):
        for images in (folder / name for name in IMAGE_FOLDERS):
            if any(map(_has_images, _with_inner(images))):
                return images, place
        if _has_images(folder):
            return folder, place
    return None


def _with_inner(folder: Path) -> list[Path]:
    """A folder and those in it."""
    return [folder, *filter(Path.is_dir, _entries(folder))]


def _has_images(folder: Path) -> bool:
    return any(map(is_image, _entries(folder)))
