"""Private folders for files that the user's processes on this node share.

In a folder that everyone can write to, another user could leave a link to one of this user's files,
hold the locks, or plant speeds and compiled code. A folder is used only if it belongs to this user,
is not a link, and nobody else can write into it or replace it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_served: set[str] = set()
"""Folders with a safe parent that this process has found to support locks."""


class NoOwnFolder(OSError):
    """There is no private folder; the message says which were tried."""


def lock_folder() -> Path:
    """The folder of this node's locks: the user's runtime folder, else `cache_folder`.

    Raises:
        NoOwnFolder: there is none.
    """
    return _first(_runtime, _cache, _temporary)


def cache_folder() -> Path:
    """The folder for files that outlive a session: the cache folder, else the temporary one.

    Raises:
        NoOwnFolder: there is none.
    """
    return _first(_cache, _temporary)


def _runtime() -> str:
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.path.join(base, "sparrow")


def _cache() -> str:
    """A cache folder with the node's name, as nodes may share a home."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        raise OSError(f"{base}: there is no home folder")
    folder = os.path.join(base, f"sparrow-{platform.node()}")
    if folder not in _served:
        with contextlib.suppress(FileExistsError):
            os.mkdir(base, 0o700)
    return folder


def _temporary() -> str:
    return os.path.join(tempfile.gettempdir(), f"sparrow-{os.getuid()}")


def _first(*places: Callable[[], str]) -> Path:
    reasons = []
    for place in places:
        try:
            return Path(_own(place()))
        except OSError as error:
            reasons.append(str(error))
    raise NoOwnFolder(
        f"no folder for locks and speeds that only you can write to ({'; '.join(reasons)}): "
        "set XDG_RUNTIME_DIR and XDG_CACHE_HOME to a folder of yours on this machine"
    )


def _own(folder: str) -> str:
    """Create a folder, or check that it is safe.

    Raises:
        OSError: it cannot be created or is not safe; says why.
    """
    with contextlib.suppress(FileNotFoundError):
        if folder in _served and _is_ours(os.lstat(folder)):
            return folder
    parent = os.stat(os.path.dirname(folder))
    if parent.st_uid not in (0, os.getuid()):
        raise OSError(f"{os.path.dirname(folder)} belongs to another user")
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        raise OSError(f"{os.path.dirname(folder)} lets everyone replace its entries")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _close_to_others(folder, opened)
        _try_lock(opened)
    finally:
        os.close(opened)
    _served.add(folder)
    return folder


def _is_ours(found: os.stat_result) -> bool:
    """Whether this is a folder, not a link, that only this user may enter."""
    mode = found.st_mode
    return stat.S_ISDIR(mode) and found.st_uid == os.getuid() and stat.S_IMODE(mode) == 0o700


def _close_to_others(folder: str, opened: int) -> None:
    """Close a folder that others could enter, and check that it holds nothing of theirs.

    Args:
        opened: the folder's file descriptor.
    """
    found = os.fstat(opened)
    if found.st_uid != os.getuid():
        raise OSError(f"{folder} belongs to another user")
    if _is_ours(found):
        return
    os.fchmod(opened, 0o700)
    for name in os.listdir(opened):
        entry = os.stat(name, dir_fd=opened, follow_symlinks=False)
        if stat.S_ISDIR(entry.st_mode):
            if entry.st_uid != os.getuid() or entry.st_mode & WRITABLE_BY_OTHERS:
                raise OSError(f"{folder}/{name} may be another user's work: delete it")
        elif not _is_plain(entry):
            os.unlink(name, dir_fd=opened)


def _is_plain(entry: os.stat_result) -> bool:
    """Whether this is a file of this user, with a single name, that others cannot have written."""
    ours = stat.S_ISREG(entry.st_mode) and entry.st_uid == os.getuid()
    return ours and entry.st_nlink == 1 and not entry.st_mode & WRITABLE_BY_OTHERS


def _try_lock(folder: int) -> None:
    """Raise `OSError` if the file system does not support locks, like some network ones."""
    file = os.open("probe", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)
