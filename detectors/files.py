"""Atomic and durable writing of files, and publishing of folders."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from detectors.patience import patiently

AWAY = (
    errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENETDOWN, errno.ENETUNREACH, errno.EREMOTEIO,
)  # fmt: skip
"""Errors of storage that may come back, such as a network file system whose server restarts."""


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is never seen half-written, and is on disk when this returns.

    Several processes may write the same file at once: one of them comes last.

    Raises:
        OSError: it could not be written; the message names it. The old content is unchanged.
    """
    with written(path) as file:
        file.write(text.encode())


def write_first(path: Path, text: str) -> None:
    """Write a file as `write_atomically` does, unless it is there already.

    Raises:
        OSError: it could not be written; the message names it.
    """
    with written(path, _link_first) as file:
        file.write(text.encode())


@contextlib.contextmanager
def written(
    path: Path,
    place: Callable[[Path, Path], None] = os.replace,
    make_folder: bool = True,
    durably: bool = True,
) -> Iterator[BinaryIO]:
    """A file to write bytes into, which becomes `path` when the block ends without an error.

    Args:
        place: gives the whole file its name.
        make_folder: make the folder that it lies in, if that is missing.
        durably: it is on disk then; otherwise it survives the end of this process, but not of the
            machine.

    Raises:
        OSError: it could not be written; the message names it. The old content is unchanged.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    with _naming(path):
        try:
            with open(partial, "wb") as file:
                yield file
                file.flush()
                if durably:
                    os.fsync(file.fileno())
            place(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def is_away(error: BaseException, folder: Path) -> bool:
    """Whether an error comes from storage that has gone, for now.

    Args:
        folder: in that storage; it was there before.
    """
    if not os.path.isdir(folder):
        return True
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno in AWAY:
            return True
        if any(f"(os error {code})" in str(link) for code in AWAY):  # of libraries in Rust
            return True
        link = link.__cause__ or link.__context__
    return False


def append(path: Path, data: bytes, durably: bool = True, new: bool = True) -> None:
    """Add to the end of a file that no other process writes.

    If the storage has gone, it waits for it, for two minutes.

    Args:
        path: in a folder that was there before.
        durably: it is on disk when this returns. Otherwise it survives the end of this process, but
            not of the machine.
        new: make the file if it is missing; otherwise its storage counts as gone.

    Raises:
        OSError: it could not be written; the message names the file, which is unchanged.
    """

    def passing(error: Exception) -> str | None:
        gone = isinstance(error, FileNotFoundError) or is_away(error, path.parent)
        return error.strerror if isinstance(error, OSError) and gone else None

    patiently(lambda: _append(path, data, durably, new), passing, path)


def _append(path: Path, data: bytes, durably: bool, new: bool) -> None:
    with _naming(path), open(path, "ab" if new else "rb+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            if durably:
                os.fsync(file.fileno())
        except BaseException:
            # On a full disk, part of the line may be written; the next line would be joined to it.
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise


def publish(source: Path, target: Path) -> None:
    """Make every file of the folder `source` appear in the folder `target`.

    Files are hard links, which take no space and survive the removal of `source`; copies on file
    systems without links.
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


def _link_first(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    except OSError:
        # On storage without hard links the last writer wins, which is as good.
        os.replace(partial, path)


def _partial(path: Path) -> Path:
    """A temporary file next to `path`, unique to this writer."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the file name to errors of writing, which have none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
