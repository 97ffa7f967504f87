"""Data at an address, such as `s3://BUCKET/PATH`: each node fetches them once, for all processes.

A node keeps them in a folder of the user, named by a digest of the address and of what lies there:
names, sizes and times of change. Data that change get another folder, so that who uses the old ones
is not disturbed. A folder with all of its files has a note; in one without, fetching goes on with
those that are missing. The folders that were not used for longest are removed where room is needed,
but none that a process uses.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectors.activity import active
from detectors.data.validation import DataError, Problem
from detectors.files import write_atomically
from detectors.locks import held, is_current, open_lock, progress, try_lock
from detectors.own_folder import cache_folder, lock_folder
from detectors.remote import PATIENCE, Remote, RemoteError, at_once, checked
from searchspace.digests import digest_of, sha256
from searchspace.errors import InputError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo

FOLDER = "data"
FILES, NOTE, USE = "files", "fetched.json", "use"
"""In the folder of some data: their files; the note that all of them are there; and a file that
each process locks which uses them."""

LEASE = PATIENCE + 300
"""Seconds without a file after which a process that fetches counts as hung."""

MOST_OF_DISK = 0.9
"""The share of the free disk that may be filled."""

_uses: dict[Path, int] = {}
"""Descriptors of the locks by which this process keeps data from being removed until it ends."""


@dataclass(frozen=True)
class Fetched:
    """Data at an address, as they were when they were first looked for.

    Attributes:
        address: of their folder, without any key.
        version: a digest of it and of the names, sizes and times of the files there.
    """

    address: str
    version: str

    @classmethod
    def of(cls, address: str) -> Fetched:
        """The data that lie at an address now, which this node fetches as far as it lacks them.

        Raises:
            DataError: there are none.
            RemoteError, InputError: the address does not answer, refuses, or cannot be used.
            NoRoom: the disk has no room for them.
        """
        remote = Remote(checked(address))
        try:
            found = remote.listing(patience=0)
        except NotADirectoryError:  # It is a file.
            found = {}
        if not found:
            fix = "give the address of a folder with annotated images"
            raise DataError([Problem(remote.address, "data", "there are no files", fix)])
        data = cls(remote.address, _version(remote.address, found))
        data.fetch(listing=found)
        return data

    @property
    def home(self) -> Path:
        return data_folder() / self.version

    @property
    def folder(self) -> Path:
        """Where the files lie on this node."""
        return self.home / FILES

    @property
    def is_here(self) -> bool:
        """Whether this node has all of them."""
        return (self.home / NOTE).exists()

    def name_of(self, path: Path) -> str:
        """The name of a file or folder at the address, by its path on any node."""
        parts = path.parts
        return "/".join(parts[parts.index(self.version) + 2 :])

    def here(self, path: Path) -> Path:
        """Where a file or folder lies on this node, by its path on any."""
        return self.folder / self.name_of(path)

    def shown(self, path: Path) -> str:
        """A path in the data, for messages: its address."""
        name = self.name_of(path)
        return f"{self.address}/{name}" if name else self.address

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Problems of the data that are found in it name their address."""
        try:
            yield
        except DataError as error:
            problems, warnings = map(self.named, error.problems), map(self.named, error.warnings)
            raise DataError(problems, warnings) from None

    def named(self, problem: Problem) -> Problem:
        """A problem that names the address of the data, not the folder of this node."""
        here, names = str(self.folder), ("file", "entry", "what", "fix", "cause")
        words = {name: getattr(problem, name).replace(here, self.address) for name in names}
        return replace(problem, **words)

    def fetch(
        self,
        sums: Callable[[], Mapping[str, str]] = dict,
        listing: Mapping[str, FileInfo] | None = None,
    ) -> None:
        """Make sure that this node has the data, and keeps them until this process ends.

        Args:
            sums: gives SHA-256 of files by name, which those have to have that are fetched.
            listing: of the address, if it was read a moment ago.

        Raises:
            DataError: they have changed since.
            RemoteError: the address does not answer, or has not sent what it should have.
            NoRoom: the disk has no room for them.
        """
        _use(self.home)
        if self.is_here:
            return
        with held(lock_folder() / f"{FOLDER}-{self.version}", "fetching data", LEASE):
            if self.is_here:
                return
            remote = Remote(self.address)
            found = remote.listing() if listing is None else listing
            if _version(self.address, found) != self.version:
                what = "the files there are others than when the data were first read"
                fix = "put them back; or, if they are the same again, name the address with --data"
                raise DataError([Problem(self.address, "data", what, fix)])
            self._fetch(remote, found, sums())

    def _fetch(
        self, remote: Remote, found: Mapping[str, FileInfo], sums: Mapping[str, str]
    ) -> None:
        others = [other for other in on_node() if other.address == self.address]

        def get(name: str) -> None:
            info, file = found[name], self.folder / name
            if not any(_linked(other.home / FILES / name, file, info) for other in others):
                remote.get(info, file, durably=False)
            if name in sums and sha256(file) != sums[name]:
                file.unlink()
                raise RemoteError(
                    f"{self.address}/{name}: what has arrived is not what the search has read "
                    "there (another SHA-256): resume it once the address sends that again"
                )

        missing = [name for name, info in found.items() if not _same(self.folder / name, info)]
        _make_room(sum(found[name].size for name in missing))
        with active("Fetching data", len(missing)) as advance:
            for _ in at_once(get, missing):
                advance(1)
                progress()
        os.sync()  # the files, before the note
        size = sum(info.size for info in found.values())
        note = {"address": self.address, "files": len(found), "bytes": size}
        write_atomically(self.home / NOTE, json.dumps(note))


class NoRoom(InputError):
    """The disk of this node has no room for some data; the message says how much they need."""


@dataclass(frozen=True)
class OnNode:
    """Data of an address that this node has.

    Attributes:
        home: their folder.
        files: how many there are.
        bytes: of all of them.
        used: when a process last began to use them, in seconds since the epoch.
    """

    home: Path
    address: str
    files: int
    bytes: int
    used: float

    def remove(self) -> bool:
        """Remove them unless a process uses them; whether they were removed."""
        with suppress(FileNotFoundError):
            use = open_lock(self.home / USE)
            try:
                if try_lock(use, fcntl.LOCK_EX):
                    (self.home / NOTE).unlink(missing_ok=True)
                    shutil.rmtree(self.home)
                    return True
            finally:
                os.close(use)
        return False


def data_folder() -> Path:
    """The folder of all data that this node has fetched."""
    return cache_folder().resolve() / FOLDER


def on_node() -> list[OnNode]:
    """The data that this node has, or has begun to fetch, those not used for longest first."""
    found = []
    for home in data_folder().glob("*"):
        with suppress(FileNotFoundError):
            used = (home / USE).stat().st_mtime
            note = home / NOTE
            known = json.loads(note.read_text()) if note.exists() else _begun(home)
            found.append(OnNode(home, used=used, **known))
    return sorted(found, key=lambda data: data.used)


def _begun(home: Path) -> dict[str, Any]:
    sizes = [file.stat().st_size for file in home.rglob("*") if file.is_file()]
    return {"address": "", "files": len(sizes), "bytes": sum(sizes)}


def _version(address: str, found: Mapping[str, FileInfo]) -> str:
    return digest_of([address, sorted((n, i.size, i.mtime_ns) for n, i in found.items())])


def _use(home: Path) -> None:
    """Keep data from being removed until this process ends."""
    if home in _uses and is_current(_uses[home], home / USE):
        return
    while True:
        home.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            use = open_lock(home / USE)
            fcntl.flock(use, fcntl.LOCK_SH)
            if is_current(use, home / USE):
                os.utime(home / USE)
                _uses[home] = use
                return
            os.close(use)


def _make_room(size: int) -> None:
    """Remove data that no process uses, those not used for longest first, until `size` bytes fit.

    Raises:
        NoRoom: they cannot.
    """
    others = iter(on_node())
    folder = data_folder()
    while size > MOST_OF_DISK * (free := shutil.disk_usage(folder).free):
        other = next(others, None)
        if other is None:
            raise NoRoom(
                f"the data take {size / 1e9:.3g} GB more, but of the disk of {folder} only "
                f"{free / 1e9:.3g} GB are free: free some of it, or set XDG_CACHE_HOME to a folder "
                "on a larger one"
            )
        other.remove()


def _same(file: Path, info: FileInfo) -> bool:
    """Whether a file is that of a listing, by size and time of change."""
    try:
        there = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (there.st_size, there.st_mtime_ns) == (info.size, info.mtime_ns)


def _linked(other: Path, file: Path, info: FileInfo) -> bool:
    """Take a file from another version of the data, if that has the same; whether it did."""
    if not _same(other, info):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        file.unlink(missing_ok=True)
        os.link(other, file)
        return True
    return False
