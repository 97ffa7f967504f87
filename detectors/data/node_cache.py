"""Decoded images on disk: each split is decoded once per node, for all trials and processes.

A split in one form is one file (`detectors.data.pixel_file`) in a folder of the user on this node.
Its name is a digest of the content of the images and of the form. It is made under another name and
then renamed, by one process while others that want it wait. Files that were not used for longest
are removed where room is needed, but none that a process uses.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from detectors.activity import active
from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.images import image_bands, is_large, load_image
from detectors.data.pixel_file import FORMAT, Damaged, Header, Layout, Mapped, checksum, finish
from detectors.data.pixels import MEMORY_BYTES, WHOLE, Decoded, Form, Pixels
from detectors.locks import held, progress, try_lock
from detectors.own_folder import cache_folder, lock_folder
from detectors.quiet import computing
from searchspace.digests import digest_of

FOLDER, SUFFIX, PARTIAL = "images", ".pixels", ".partial"

DISK_SHARE = 0.5
"""The share of the free disk that files may take, where no limit is given."""

MOST_OF_DISK = 0.9
"""The share of the free disk that a new file may take, whatever the limit."""

LEASE = 600.0
"""Seconds without a decoded image after which a process that decodes counts as hung."""

CHUNK = 32
"""Images that a thread decodes before it takes further ones."""

CPU = torch.device("cpu")

logger = logging.getLogger(__name__)
_warned: set[str] = set()
"""The causes of `NotCached` that this process has warned of."""


class NotCached(RuntimeError):
    """Images that cannot be kept; the message says why.

    Attributes:
        cause: what one warning is enough for, where the message has figures that change, such as
            the free disk.
    """

    def __init__(self, message: str, cause: str | None = None) -> None:
        super().__init__(message)
        self.cause = cause or message


@dataclass(frozen=True)
class CachedSplit:
    """A file of the cache.

    Attributes:
        header: None if it is damaged.
        bytes: on disk.
        used: when a process last opened it, in seconds since the epoch.
    """

    path: Path
    header: Header | None
    bytes: int
    used: float


@dataclass(frozen=True)
class NodeCache:
    """The decoded images on this node.

    Attributes:
        limit: bytes that all files together may take; None for a share of the free disk, 0 for no
            cache.
    """

    limit: int | None = None

    @classmethod
    def of_gb(cls, gigabytes: float | None) -> NodeCache:
        return cls(None if gigabytes is None else round(gigabytes * 1e9))

    def pixels(self, split: Dataset, form: Form, memory: int = MEMORY_BYTES) -> Pixels:
        """The images of a split in a form: from the cache, which is filled first, or decoded when
        they are read, with the same values. A warning says why they cannot be kept.

        Args:
            memory: bytes of images that are kept in memory if they are decoded.

        Raises:
            ImageError, ValueError, OSError: an image cannot be read, see `load_image`.
        """
        if self.limit == 0 or any(image.id not in split.files for image in split.images):
            return Decoded(form, memory)
        try:
            return self._mapped(split, form)
        except NotCached as error:
            if error.cause not in _warned:
                _warned.add(error.cause)
                logger.warning(f"images are decoded anew whenever they are read: {error}")
            return Decoded(form, memory)

    def _mapped(self, split: Dataset, form: Form) -> Mapped:
        layout, name = Layout.of(split.images, form), _name(split, form)
        with contextlib.ExitStack() as locked:
            with _of_cache():
                path = images_folder() / f"{name}{SUFFIX}"
                if found := _opened(path, layout, form):
                    return found
                lock = lock_folder() / f"{FOLDER}-{name}"
                locked.enter_context(held(lock, "decoding images", LEASE))
                if found := _opened(path, layout, form):
                    return found
                file, partial = self._reserved(path, layout.bytes)
            try:
                checksums = _decode(split, form, layout, file)
                with _of_cache():
                    finish(file, layout, form, str(split.images[0].path.parent), checksums)
                    os.rename(partial, path)
            except BaseException:
                partial.unlink(missing_ok=True)
                os.close(file)
                raise
        return Mapped(file, path, layout, form)

    def _reserved(self, path: Path, size: int) -> tuple[int, Path]:
        """A new file with room for `size` bytes, locked while it is filled, and its path."""
        with held(lock_folder() / f"{FOLDER}-room", "making room for images"):
            self._make_room(path.parent, size)
            partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}{PARTIAL}")
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file = os.open(partial, flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.posix_fallocate(file, 0, size)
            except BaseException:
                partial.unlink(missing_ok=True)
                os.close(file)
                raise
        return file, partial

    def _make_room(self, folder: Path, size: int) -> None:
        """Remove files that were not used for longest until `size` more bytes fit.

        Raises:
            NotCached: they cannot.
        """
        _remove_abandoned(folder)
        there = entries(folder)
        in_work = sum(_size(path) for path in folder.glob(f"*{PARTIAL}"))
        used = sum(entry.bytes for entry in there) + in_work
        free = shutil.disk_usage(folder).free
        limit = round(DISK_SHARE * (free + used)) if self.limit is None else self.limit
        room = min(limit, used + round(MOST_OF_DISK * free))
        if in_work + size <= room:  # Else nothing is removed in vain.
            for entry in there:
                if used + size <= room:
                    break
                if remove(entry.path):
                    used -= entry.bytes
        if used + size > room:
            raise NotCached(
                f"decoded, those of a split take {size / 1e9:.3g} GB, but {folder} may hold "
                f"{limit / 1e9:.3g} GB in all, and {free / 1e9:.3g} GB of its disk are free; raise "
                "--cache-gb, free some of the disk, or set XDG_CACHE_HOME to a folder on a larger "
                "one",
                cause=f"no room for {size} bytes in {folder}",
            )


DEFAULT_CACHE = NodeCache()
NO_CACHE = NodeCache(limit=0)


def images_folder() -> Path:
    """The cache's folder.

    Raises:
        OSError: there is none, and none can be made.
    """
    folder = cache_folder() / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def entries(folder: Path) -> list[CachedSplit]:
    """The files of a cache, the one not used for longest first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            try:
                header = Header.read(file.fileno())
            except Damaged:
                header = None
            found.append(CachedSplit(path, header, stat.st_size, stat.st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def remove(path: Path) -> bool:
    """Remove a file of a cache unless a process uses it, or it is gone; whether it was removed."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not try_lock(file, fcntl.LOCK_EX):
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(file)


def clear(folder: Path) -> tuple[list[CachedSplit], list[CachedSplit]]:
    """Remove all files of a cache that no process uses; returns those removed and those left."""
    _remove_abandoned(folder)
    removed, left = [], []
    for entry in entries(folder):
        (removed if remove(entry.path) else left).append(entry)
    return removed, left


def _opened(path: Path, layout: Layout, form: Form) -> Mapped | None:
    """The images in a file, which counts as used now; None if there is none, or it is damaged."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = Mapped(file, path, layout, form)
    except Damaged as error:
        logger.warning(f"{path}: {error}: the images are decoded again")
        path.unlink(missing_ok=True)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return found


def _decode(split: Dataset, form: Form, layout: Layout, file: int) -> np.ndarray:
    """Write all images into a file, in parallel; their checksums, uint32 [N]."""
    images, checksums = split.images, np.zeros(len(split.images), np.uint32)
    starts = range(0, len(images), CHUNK)

    def decode(start: int) -> int:
        rows = range(start, min(start + CHUNK, len(images)))
        for row in rows:
            first, last = layout.offsets[row : row + 2].tolist()
            for top, band in _bands(images[row], form):
                with _of_cache():
                    _write_rows(file, band, first, top, layout.sizes[row].tolist())
            _check_unchanged(split, images[row])
            with _of_cache():
                checksums[row] = checksum(file, first, last)
        return len(rows)

    with active("Decoding images", len(images)) as advance, _threads() as each:
        for count in each(decode, starts):
            advance(count)
            progress()
    return checksums


@contextlib.contextmanager
def _threads() -> Iterator[Callable]:
    """A parallel `map`; after an error nothing further is begun."""
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "decoding")
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _bands(image: ImageRecord, form: Form) -> Iterator[tuple[int, Tensor]]:
    """An image in a form, from top to bottom: the first row of each band, and the band."""
    path, width, height = image.path, image.width, image.height
    with computing(CPU, "decoding an image"):
        if form is WHOLE and is_large(width, height):
            yield from image_bands(path, width, height)
        else:
            yield 0, form.of(load_image(path, width, height)).contiguous()


def _check_unchanged(split: Dataset, image: ImageRecord) -> None:
    """Raise `NotCached` if the file of an image has changed since the data were read."""
    with image.path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != split.files[image.id].sha256:
            raise NotCached(f"{image.path} has changed since the data were read")


def _write_rows(file: int, band: Tensor, start: int, top: int, size: Sequence[int]) -> None:
    """Write the rows of a band, uint8 [3, rows, width], of an image of this size that begins at
    `start`."""
    height, width = size
    if len(band[0]) == height:
        _write(file, band.numpy().reshape(-1).data, start)
        return
    for number, plane in enumerate(band.numpy()):
        _write(file, plane.reshape(-1).data, start + (number * height + top) * width)


def _write(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _name(split: Dataset, form: Form) -> str:
    """A digest of everything that determines the kept pixels."""
    libraries = {"pillow": PIL.__version__, "torch": torch.__version__}
    return digest_of(
        {"format": FORMAT, "images": split.pixels_fingerprint, "form": str(form), **libraries}
    )


def _remove_abandoned(folder: Path) -> None:
    """Remove unfinished files of processes that ended."""
    for path in folder.glob(f"*{PARTIAL}"):
        remove(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _of_cache() -> Iterator[None]:
    """Turns an error of the cache's own files into `NotCached`."""
    try:
        yield
    except OSError as error:
        raise NotCached(str(error), error.strerror) from error
