"""Files in a folder by name, and reading many small files in parallel."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SUFFIXES = frozenset(
    {
        ".avif", ".bmp", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
        ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
"""How images are called, those included that cannot be read: they are refused, not overlooked."""


def is_image(file: Path) -> bool:
    """Whether a file is called as an image is."""
    return file.suffix.lower() in SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a system keeps something of its own under a name: `.DS_Store`; `._NAME.jpg` and
    `__MACOSX`, which macOS puts beside NAME.jpg and into archives; `.ipynb_checkpoints`."""
    return name.startswith(".") or name == "__MACOSX"


def files_in(folder: Path, *suffixes: str, below: bool = False) -> list[Path]:
    """The files of a folder by name, or those that end in one of the suffixes in whatever case;
    without hidden ones.

    Args:
        suffixes: in lower case.
        below: those in folders below it, too.
    """
    found = folder.glob("**/*" if below else "*")
    return sorted(
        file
        for file in found
        if (not suffixes or file.suffix.lower() in suffixes)
        and not any(map(is_hidden, file.relative_to(folder).parts))
    )


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and those below it, by name."""
    return files_in(folder, *SUFFIXES, below=True)


def folded(name: str) -> str:
    """A name without what may differ between systems: case and Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Stems(Mapping[str, str]):
    """Names of files in a folder, by the same without their suffixes."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    @classmethod
    def of(cls, folder: Path, *suffixes: str, below: bool = False) -> Stems:
        """Those of `files_in`; of several with one stem, the last."""
        files = files_in(folder, *suffixes, below=below)
        names = (file.relative_to(folder) for file in files)
        return cls({name.with_suffix("").as_posix(): name.as_posix() for name in names})

    @classmethod
    def of_images(cls, folder: Path) -> Stems:
        """The images in a folder and those below it; none if it is missing.

        Of several with one stem, JPEG comes first, and a file without an image's suffix, which is
        its own stem, last.
        """
        found: dict[str, str] = {}
        names = [file.relative_to(folder) for file in files_in(folder, below=True)]
        for name in sorted(names, key=lambda name: (_rank(name), name)):
            own = name.with_suffix("") if is_image(name) else name
            found.setdefault(own.as_posix(), name.as_posix())
        return cls(found)

    def __getitem__(self, stem: str) -> str:
        return self._names[stem]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def alike(self, stem: str) -> str | None:
        """The name of the one file whose stem differs in case or Unicode form alone; None if there
        is none, or several."""
        found = self._folded.get(folded(stem), [])
        return self._names[found[0]] if len(found) == 1 else None

    def file_name(self, stem: str) -> str:
        """What an entry calls the image of a stem: if there is only one that is alike, the name is
        found, and what differs said, by `detectors.data.paths.ImageFolder`."""
        if exact := self.get(stem):
            return exact
        other = self.alike(stem)
        return stem + (Path(other).suffix if other else ".jpg")

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for stem in self._names:
            found[folded(stem)].append(stem)
        return found


def in_parallel(read: Callable[[Path], T], files: Sequence[Path]) -> Iterator[T]:
    """The result of reading each file, in order; several threads read at the same time."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield from pool.map(read, files)


def _rank(name: Path) -> int:
    suffix = name.suffix.lower()
    return 0 if suffix in (".jpg", ".jpeg") else 1 if suffix in SUFFIXES else 2
