"""Files that are never seen half-written, and files that appear in a second place."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is never seen half-written, and is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def publish(source: Path, target: Path) -> None:
    """Make every file of the folder `source` appear in the folder `target`.

    As a hard link, so that it takes no room and outlives the removal of `source`; as a copy on file
    systems that have no links.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        partial = target / f"{file.name}.partial"
        partial.unlink(missing_ok=True)
        try:
            os.link(file, partial)
        except OSError:
            shutil.copyfile(file, partial)
        os.replace(partial, target / file.name)
        partial.unlink(missing_ok=True)  # replacing a file by a link to itself does nothing


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
