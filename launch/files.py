"""Files that are never seen half-written, and files that appear in a second place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is never seen half-written, and is on disk when this returns.

    Several processes may write the same file at once: one of them comes last.

    Raises:
        OSError: it could not be written; the message names it. What was there before still is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    with _naming(path):
        try:
            with open(partial, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def append_durably(path: Path, data: bytes) -> None:
    """Add to the end of a file that no other process writes; on disk when this returns.

    Raises:
        OSError: it could not be written; the message names the file, which is as it was before.
    """
    with _naming(path), open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException:
            # A full disk takes the first bytes of a line: the next one would be joined to them.
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise


def publish(source: Path, target: Path) -> None:
    """Make every file of the folder `source` appear in the folder `target`.

    As a hard link, so that it takes no room and outlives the removal of `source`; as a copy on file
    systems that have no links.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        partial = _partial(target / file.name)
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


def _partial(path: Path) -> Path:
    """A file beside `path` that no other writer of it has."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of writing, which carry no file name, get one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
