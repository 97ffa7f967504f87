"""Finding image files in a folder by name, and reading many small files in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


def is_image(file: Path) -> bool:
    """Whether a file is called as an image is."""
    return file.suffix.lower() in SUFFIXES


def files_in(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that match a pattern, by name.

    Hidden ones are left out: `._NAME.jpg`, which macOS puts beside NAME.jpg, `.ipynb_checkpoints/`.
    """
    found = folder.glob(pattern)
    return sorted(file for file in found if not _is_hidden(file.relative_to(folder)))


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and those below it, by name."""
    return list(filter(is_image, files_in(folder, "**/*")))


def names_by_stem(folder: Path) -> dict[str, str]:
    """The names of the image files in a folder by what stands before the suffix.

    Of several with one stem, JPEG comes first, and a file without an image's suffix, which is its
    own stem, last. A missing folder has none.
    """
    found: dict[str, str] = {}
    names = [path.name for path in files_in(folder, "*")]
    for name in sorted(names, key=lambda name: (_rank(name), name)):
        file = Path(name)
        found.setdefault(name.removesuffix(file.suffix) if is_image(file) else name, name)
    return found


def in_parallel(read: Callable[[Path], T], files: Sequence[Path]) -> Iterator[T]:
    """The result of reading each file, in order; several threads read at the same time."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield from pool.map(read, files)


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def _rank(name: str) -> int:
    suffix = Path(name).suffix.lower()
    return 0 if suffix in (".jpg", ".jpeg") else 1 if suffix in SUFFIXES else 2
