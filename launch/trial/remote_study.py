"""Studies at an address, such as `s3://BUCKET/PATH`.

Every machine that works on such a study has a *copy*: a folder like that of any other study, in the
user's cache, which holds what this machine has needed so far. All else of Sparrow works in that
folder; what is durable is sent to the address, and what another machine has made is fetched from
there. Files are compared by their times: the newer one counts.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from detectors.files import write_atomically
from detectors.own_folder import cache_folder
from detectors.remote import PATIENCE, Remote, at_once, checked
from launch.files import LOG, ORIGIN, PROGRESS
from searchspace.digests import digest_of
from searchspace.errors import InputError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo

COPIES = "studies"
"""Folder of the copies, in the cache of a node."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteStudy(Remote):
    """A study at an address, and this node's copy of it. Names are relative to both.

    Attributes:
        copy: folder of the copy.
    """

    copy: Path

    def __str__(self) -> str:
        return self.address

    @classmethod
    def at(cls, address: str) -> RemoteStudy:
        """The study at an address, with its copy, which is empty where nothing was fetched yet.

        Raises:
            InputError: the address holds a key, or no folder.
        """
        address = checked(address)
        if "/" not in address.partition("://")[2].partition("?")[0].strip("/"):
            raise InputError(f"{address}: give a folder below it for the study")
        copy = cache_folder().resolve() / COPIES / digest_of(address)
        if not (copy / ORIGIN).exists():
            copy.mkdir(parents=True, exist_ok=True)
            write_atomically(copy / ORIGIN, f"{address}\n")
        return cls(address, copy)

    def name_of(self, path: Path) -> str:
        """The name of a file or folder in the copy."""
        return path.resolve().relative_to(self.copy).as_posix()

    def send(self, *names: str, patience: float = PATIENCE) -> None:
        """Write files of the copy to the address, and wait until they are there."""
        for _ in at_once(lambda name: self.put(self.copy / name, name, patience), names):
            pass

    def send_folder(self, name: str, last: str | None = None) -> None:
        """Write all files of a folder of the copy to the address.

        Args:
            last: the file whose presence says that the folder is whole.
        """
        folder = self.copy / name
        found = (file for file in sorted(folder.rglob("*")) if file.is_file())
        names = [self.name_of(f) for f in found if f.suffix != ".partial"]
        end = None if last is None else f"{name}/{last}"
        self.send(*(other for other in names if other != end))
        if end in names:
            self.send(end)

    def fetch(self, found: Mapping[str, FileInfo], into: Path | None = None) -> None:
        """Make those files of a listing part of the copy that it lacks, or has in an older form.

        Args:
            into: another folder than the copy.
        """
        folder = into or self.copy
        newer = [name for name, info in found.items() if _differs(name, info, folder / name)]
        for _ in at_once(lambda name: self.get(found[name], folder / name), newer):
            pass

    def fetch_folder(
        self,
        name: str,
        last: str | None = None,
        check: Callable[[Path], str | None] = lambda folder: None,
    ) -> bool:
        """Make a folder part of the copy, which has none of that name; False if the address has
        none either, or a damaged one.

        Args:
            last: see `send_folder`.
            check: returns the damage of a folder; None if it is intact.
        """
        found = self.listing(name)
        if not found or (last and f"{name}/{last}" not in found):
            return False
        arriving = self.copy / f"{name}.{uuid.uuid4().hex[:8]}.partial"
        try:
            self.fetch(found, arriving)
            whole = arriving / name
            if damage := check(whole):
                logger.warning(f"{self}/{name} is damaged ({damage})")
                return False
            target = self.copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(whole, target)
            except OSError:
                if not target.is_dir():  # No other process of this node was faster.
                    raise
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        return True


def remote_of(study: Path) -> RemoteStudy | None:
    """The study at an address that a folder is a copy of; None for the folder of any other one."""
    try:
        address = (study / ORIGIN).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return RemoteStudy(address, study.resolve())


def _differs(name: str, info: FileInfo, file: Path) -> bool:
    """Whether a file has to be fetched. Of those that only grow, which a running trial may have
    open, the longer one counts."""
    if PurePosixPath(name).name in (LOG, PROGRESS) and file.exists():
        return info.size > file.stat().st_size
    return is_newer(info, file)


def is_newer(info: FileInfo, file: Path) -> bool:
    """Whether a file at an address is newer than the one of the copy, or the only one."""
    try:
        there = file.stat()
    except FileNotFoundError:
        return True
    return info.mtime_ns is None or info.mtime_ns > there.st_mtime_ns
