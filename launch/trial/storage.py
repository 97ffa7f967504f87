"""Studies that lie on storage with an address, such as `s3://BUCKET/PATH`.

Every machine that works on such a study has a *copy*: a folder like that of any other study, in the
user's cache, which holds what this machine has needed so far. All else of Sparrow works in that
folder; what is durable is sent to the storage, and what another machine has made is fetched from
there. File systems and their addresses are those of pyarrow (`pyarrow.fs.FileSystem.from_uri`).

Objects are never seen half-written. Files are compared by their times: the newer one counts.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from detectors.files import write_atomically, written
from detectors.own_folder import cache_folder
from launch.files import LOG, ORIGIN, PROGRESS
from searchspace.digests import digest_of
from searchspace.errors import InputError, first_line
from searchspace.masking import MASK, without_secrets

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo

COPIES = "studies"
"""Folder of the copies, in the cache of a node."""

PATIENCE = 600.0
"""Seconds for which storage that does not answer is tried again."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between two tries, which grow."""

LASTING = ("NO_SUCH_BUCKET", "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH")
"""Parts of errors that waiting does not mend."""

AT_ONCE = 16
"""Files that are sent or fetched at once."""

ARGUMENTS = {"endpoint_override", "region", "scheme", "force_virtual_addressing"}
"""Arguments of addresses, of which none is secret."""

HELP = (
    "check the address and the network; keys are taken from the environment, for example from "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)

logger = logging.getLogger(__name__)
T = TypeVar("T")


class StorageError(InputError):
    """Storage does not answer, or refuses; the message names it."""


@dataclass(frozen=True)
class Storage:
    """The storage of one study, and this node's copy of it. Names are relative to both.

    Attributes:
        address: without any key.
        copy: folder of the copy.
    """

    address: str
    copy: Path

    def __str__(self) -> str:
        return self.address

    @classmethod
    def at(cls, address: str) -> Storage:
        """The study at an address, with its copy, which is empty where nothing was fetched yet.

        Raises:
            InputError: the address holds a key, or no folder.
        """
        address = _checked(address)
        copy = cache_folder().resolve() / COPIES / digest_of(address)
        if not (copy / ORIGIN).exists():
            copy.mkdir(parents=True, exist_ok=True)
            write_atomically(copy / ORIGIN, f"{address}\n")
        return cls(address, copy)

    def name_of(self, path: Path) -> str:
        """The name of a file or folder in the copy."""
        return path.resolve().relative_to(self.copy).as_posix()

    def listing(
        self, below: str = "", patience: float = PATIENCE, deep: bool = True
    ) -> dict[str, FileInfo]:
        """The files on the storage by name; empty where there are none.

        Args:
            below: the folder.
            deep: also those in folders of it.

        Raises:
            StorageError: it does not answer for so many seconds.
        """
        from pyarrow.fs import FileSelector

        def look(files: Any, root: str) -> dict[str, FileInfo]:
            place = f"{root}/{below}" if below else root
            chosen = FileSelector(place, allow_not_found=True, recursive=deep)
            found = (info for info in files.get_file_info(chosen) if info.is_file)
            return {_below(root, info.path): info for info in found}

        found = self._patiently(look, patience)
        return {name: info for name, info in found.items() if not name.endswith(".partial")}

    def has(self, name: str) -> bool:
        """Whether there is such a file on the storage."""
        return self._patiently(lambda files, root: files.get_file_info(f"{root}/{name}")).is_file

    def send(self, *names: str, patience: float = PATIENCE) -> None:
        """Write files of the copy to the storage, and wait until they are there."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda name: self._put(self.copy / name, name, patience), names):
                pass

    def send_folder(self, name: str, last: str | None = None) -> None:
        """Write all files of a folder of the copy to the storage.

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

    def write(self, name: str, content: bytes, patience: float = PATIENCE) -> None:
        """Write an object that the copy does not have."""

        def put(files: Any, target: str) -> None:
            with files.open_output_stream(target) as stream:
                stream.write(content)

        self._patiently(lambda files, root: _place(files, f"{root}/{name}", put), patience)

    def read(self, name: str) -> bytes:
        """An object; raises `FileNotFoundError` where there is none."""

        return self._patiently(lambda files, root: b"".join(_parts(files, f"{root}/{name}")))

    def fetch(self, found: Mapping[str, FileInfo], into: Path | None = None) -> None:
        """Make those files of a listing part of the copy that it lacks, or has in an older form.

        Args:
            into: another folder than the copy.
        """
        folder = into or self.copy
        newer = [name for name, info in found.items() if _differs(name, info, folder / name)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda name: self._get(found[name], folder / name), newer):
                pass

    def fetch_folder(
        self,
        name: str,
        last: str | None = None,
        check: Callable[[Path], str | None] = lambda folder: None,
    ) -> bool:
        """Make a folder part of the copy, which has none of that name; False if the storage has
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

    def remove(self, *names: str, patience: float = PATIENCE) -> None:
        """Remove files from the storage, if they are there."""

        def remove(name: str, files: Any, root: str) -> None:
            with suppress(FileNotFoundError):
                files.delete_file(f"{root}/{name}")

        for name in names:
            self._patiently(functools.partial(remove, name), patience)

    def _put(self, file: Path, name: str, patience: float) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        here = LocalFileSystem()

        def put(files: Any, target: str) -> None:
            copy_files(str(file), target, source_filesystem=here, destination_filesystem=files)

        self._patiently(lambda files, root: _place(files, f"{root}/{name}", put), patience)

    def _get(self, info: FileInfo, target: Path) -> None:
        def get(files: Any, root: str) -> None:
            with written(target) as file:
                file.writelines(_parts(files, info.path))
            if (time_of := _time(info)) is not None:
                os.utime(target, (time_of, time_of))

        self._patiently(get)

    def _patiently(self, do: Callable[[Any, str], T], patience: float = PATIENCE) -> T:
        """What a request returns, which is made again while the storage does not answer.

        Args:
            do: the request to a file system, of which it gets the path of the study, too.

        Raises:
            InputError: pyarrow knows no such address.
            FileNotFoundError: there is no such file, here or there.
            OSError: this machine's disk is full, for example.
            StorageError: it refuses, or has not answered for so many seconds.
        """
        end, wait = time.monotonic() + patience, FIRST_WAIT
        while True:
            try:
                return do(*_opened(self.address))
            except OSError as error:
                if error.errno is not None:  # Of this machine's own files, or there is no such one.
                    raise
                words = without_secrets(first_line(error))
                if time.monotonic() + wait > end or any(mark in words for mark in LASTING):
                    raise StorageError(f"{self}: {words}: {HELP}") from None
            logger.warning(f"{self} does not answer ({words}); trying again in {wait:.0f} s")
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


def storage_of(study: Path) -> Storage | None:
    """The storage that a folder is a copy of; None for the folder of any other study."""
    try:
        address = (study / ORIGIN).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Storage(address, study.resolve())


def _checked(address: str) -> str:
    """An address in its usual form; raises `InputError` where it cannot be used or kept."""
    place, mark, arguments = address.partition("?")
    scheme, _, path = place.partition("://")
    login, at, _ = path.rpartition("@")  # A key may hold any character.
    named = {argument.partition("=")[0] for argument in arguments.split("&")} - {""}
    if ":" in login or named - ARGUMENTS:
        shown = f"{scheme}://{MASK}{at}{path.removeprefix(login + at)}" if ":" in login else place
        raise InputError(
            f"{shown}: what is in an address is stored with the study, so that it may hold no key, "
            f"and no other arguments than {', '.join(sorted(ARGUMENTS))}; {HELP.partition('; ')[2]}"
        )
    if "/" not in path.strip("/"):
        raise InputError(f"{address}: give a folder below it for the study")
    return f"{place.rstrip('/')}{mark}{arguments}"


@functools.cache
def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it.

    Raises:
        InputError: pyarrow knows no such address.
        OSError: the storage does not answer, which some are asked for their region.
    """
    # Only here, as it takes a tenth of a second that no study in a folder needs.
    from pyarrow.fs import FileSystem

    # Small objects are written by one request, not by three.
    joined = "&" if "?" in address else "?"
    whole = f"{address}{joined}allow_delayed_open=true" if address.startswith("s3:") else address
    try:
        files, root = FileSystem.from_uri(whole)
    except (ValueError, NotImplementedError) as error:
        words = without_secrets(first_line(error))
        raise InputError(
            f"{address}: {words}; give a path, or an address such as "
            "s3://BUCKET/PATH, gs://BUCKET/PATH or abfs://CONTAINER@ACCOUNT/PATH"
        ) from None
    return files, root


def _place(files: Any, target: str, put: Callable[[Any, str], None]) -> None:
    """Write an object that is never seen half-written. Object stores see to that themselves."""
    if files.type_name != "local":
        put(files, target)
        return
    files.create_dir(target.rpartition("/")[0], recursive=True)
    partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
    put(files, partial)
    files.move(partial, target)


def _parts(files: Any, path: str) -> Iterator[bytes]:
    """The content of an object; raises `OSError` where it is cut short, as by a lost connection,
    which pyarrow does not notice by itself."""
    with files.open_input_file(path) as stream:
        missing = stream.size()
        while part := stream.read(1 << 20):
            missing -= len(part)
            yield part
    if missing:
        raise OSError(f"{path}: cut short, {missing} bytes are missing")


def _below(root: str, path: str) -> str:
    """The name of a file on the storage; raises `StorageError` if it would leave the copy."""
    name = PurePosixPath(path).relative_to(root)
    if ".." in name.parts or name.is_absolute():
        raise StorageError(f"{path}: such a name may not lie in a study: remove it")
    return str(name)


def _time(info: FileInfo) -> float | None:
    return None if info.mtime is None else info.mtime.timestamp()


def _differs(name: str, info: FileInfo, file: Path) -> bool:
    """Whether a file has to be fetched. Of those that only grow, which a running trial may have
    open, the longer one counts."""
    if PurePosixPath(name).name in (LOG, PROGRESS) and file.exists():
        return info.size > file.stat().st_size
    return is_newer(info, file)


def is_newer(info: FileInfo, file: Path) -> bool:
    """Whether a file on the storage is newer than the one of the copy, or the only one."""
    try:
        there = file.stat()
    except FileNotFoundError:
        return True
    changed = _time(info)
    return changed is None or changed > there.st_mtime
