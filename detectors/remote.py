"""Files at an address, such as `s3://BUCKET/PATH`: read, written and listed with patience.

File systems and their addresses are those of pyarrow (`pyarrow.fs.FileSystem.from_uri`).
Objects are never seen half-written.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from detectors.files import written
from detectors.patience import patiently
from searchspace.errors import InputError, first_line
from searchspace.masking import MASK, without_secrets

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo

PATIENCE = 600.0
"""Seconds for which an address that does not answer is tried again."""

LASTING = ("NO_SUCH_BUCKET", "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH")
"""Parts of errors that waiting does not mend."""

AT_ONCE = 16
"""Files that are sent or fetched at once."""

PART = 1 << 20
"""Bytes that are read at once."""

ARGUMENTS = {"endpoint_override", "region", "scheme", "force_virtual_addressing"}
"""Arguments of addresses, of which none is secret."""

HELP = (
    "check the address and the network; keys are taken from the environment, for example from "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)

S = TypeVar("S")
T = TypeVar("T")


class RemoteError(InputError):
    """An address does not answer, or refuses; the message names it."""


@dataclass(frozen=True)
class Remote:
    """A folder at an address. Names of files are relative to it.

    Attributes:
        address: without any key.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def listing(
        self, below: str = "", patience: float = PATIENCE, deep: bool = True
    ) -> dict[str, FileInfo]:
        """The files there by name; empty where there are none.

        Args:
            below: the folder.
            deep: also those in folders of it.

        Raises:
            RemoteError: it does not answer for so many seconds.
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
        """Whether there is such a file."""
        return self._patiently(lambda files, root: files.get_file_info(f"{root}/{name}")).is_file

    def write(self, name: str, content: bytes, patience: float = PATIENCE) -> None:
        """Write a file of this content."""

        def put(files: Any, target: str) -> None:
            with files.open_output_stream(target) as stream:
                stream.write(content)

        self._patiently(lambda files, root: _place(files, f"{root}/{name}", put), patience)

    def read(self, name: str) -> bytes:
        """The content of a file; raises `FileNotFoundError` where there is none."""

        return self._patiently(lambda files, root: b"".join(_parts(files, f"{root}/{name}")))

    def put(self, file: Path, name: str, patience: float = PATIENCE) -> None:
        """Write a file of this machine there, and wait until it is."""
        from pyarrow.fs import LocalFileSystem, copy_files

        here = LocalFileSystem()

        def put(files: Any, target: str) -> None:
            copy_files(str(file), target, source_filesystem=here, destination_filesystem=files)

        self._patiently(lambda files, root: _place(files, f"{root}/{name}", put), patience)

    def get(self, info: FileInfo, target: Path, durably: bool = True) -> None:
        """Write a file of a listing to this machine, with the time of its latest change.

        Args:
            durably: see `written`.
        """

        def get(files: Any, root: str) -> None:
            with written(target, durably=durably) as file:
                file.writelines(_parts(files, info.path))
            if info.mtime_ns is not None:
                os.utime(target, ns=(info.mtime_ns, info.mtime_ns))

        self._patiently(get)

    def remove(self, *names: str, patience: float = PATIENCE) -> None:
        """Remove files, if they are there."""

        def remove(name: str, files: Any, root: str) -> None:
            with suppress(FileNotFoundError):
                files.delete_file(f"{root}/{name}")

        for name in names:
            self._patiently(functools.partial(remove, name), patience)

    def _patiently(self, do: Callable[[Any, str], T], patience: float = PATIENCE) -> T:
        """What a request returns, which is made again while the address does not answer.

        Args:
            do: the request to a file system, of which it gets the path of the folder, too.

        Raises:
            InputError: pyarrow knows no such address.
            FileNotFoundError: there is no such file, here or there.
            OSError: this machine's disk is full, for example.
            RemoteError: it refuses, or has not answered for so many seconds.
        """

        def passing(error: Exception) -> str | None:
            # With a number, it is of this machine's own files, or there is no such one.
            if not isinstance(error, OSError) or error.errno is not None:
                return None
            words = without_secrets(first_line(error))
            lasting = any(mark in words for mark in LASTING)
            return None if lasting else f"it does not answer ({words})"

        try:
            return patiently(lambda: do(*opened(self.address)), passing, self, patience)
        except OSError as error:
            if error.errno is not None:
                raise
            raise RemoteError(f"{self}: {without_secrets(first_line(error))}: {HELP}") from None


def checked(address: str) -> str:
    """An address in its usual form; raises `InputError` where it may not be stored."""
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
    return f"{place.rstrip('/')}{mark}{arguments}"


@functools.cache
def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it.

    Raises:
        InputError: pyarrow knows no such address.
        OSError: the address does not answer, as some are asked for their region.
    """
    # Only here, as it takes a tenth of a second that nothing in a folder needs.
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


def at_once(call: Callable[[S], object], items: Iterable[S]) -> Iterator[None]:
    """Call for each item, several at once; yields after each. After an error nothing further is
    begun."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for _ in pool.map(call, items):
            yield
    finally:
        pool.shutdown(cancel_futures=True)


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
        while part := stream.read(PART):
            missing -= len(part)
            yield part
    if missing:
        raise OSError(f"{path}: cut short, {missing} bytes are missing")


def _below(root: str, path: str) -> str:
    """The name of a file there; raises `RemoteError` if it would leave a folder that it is fetched
    into."""
    name = PurePosixPath(path).relative_to(root)
    if ".." in name.parts or name.is_absolute():
        raise RemoteError(f"{path}: such a name may not be fetched: remove it")
    return str(name)
