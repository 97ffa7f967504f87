"""A file of decoded images, which is mapped into memory.

A header names what the file holds, a table has a checksum of each image, and the images follow as
uint8 [3, h, w] without gaps. Where each lies follows from the split and the form, so the file has
no index that could contradict them.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detectors.data.pixels import Decoded, Form
from detectors.data.records import ImageRecord
from searchspace.geometry import Size, Window

FORMAT = 1
BLOCK = 4096
"""Bytes of the header; table and images begin at multiples of it."""

STRETCH = 1 << 22
"""Bytes that are read at once to be checked."""

LONGEST = 512
"""Characters of a header's text."""

# Without it, Linux refuses private mappings that are larger than the memory (mmap(2)).
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)

logger = logging.getLogger(__name__)


class Damaged(ValueError):
    """A file that is not what it should be; the message says why."""


@dataclass(frozen=True)
class Layout:
    """Where the images of a split lie in a file.

    Attributes:
        ids: int64 [N], ascending.
        sizes: int64 [N, 2], heights and widths as kept.
    """

    ids: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, images: Sequence[ImageRecord], form: Form) -> Layout:
        ids = np.fromiter((image.id for image in images), np.int64, len(images))
        # Height and width as one number, as splits have few sizes, and numbers sort fast.
        sides = np.fromiter((i.height << 32 | i.width for i in images), np.int64, len(images))
        distinct, which = np.unique(sides, return_inverse=True)
        kept = [form.size((size >> 32, size & 0xFFFFFFFF)) for size in distinct.tolist()]
        return cls(ids, np.array(kept, dtype=np.int64).reshape(-1, 2)[which])

    @cached_property
    def start(self) -> int:
        """The first byte of the images."""
        return BLOCK + -(-4 * len(self.ids) // BLOCK) * BLOCK

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64 [N + 1], where each image begins, and the length of the file."""
        lengths = 3 * self.sizes.prod(-1)
        return self.start + np.concatenate(([0], np.cumsum(lengths)))

    @property
    def bytes(self) -> int:
        """The length of the file."""
        return int(self.offsets[-1])

    def row(self, record: ImageRecord) -> int:
        """The number of an image; raises `KeyError` for one of another split."""
        row = int(np.searchsorted(self.ids, record.id))
        if row == len(self.ids) or self.ids[row] != record.id:
            raise KeyError(record.id)
        return row


@dataclass(frozen=True)
class Header:
    """What a file holds.

    Attributes:
        split: the folder of the images, for people.
        form: how they are kept.
        table: CRC-32 of the table of checksums.
    """

    split: str
    form: str
    images: int
    bytes: int
    table: int
    format: int = FORMAT

    @classmethod
    def read(cls, file: int) -> Header:
        """Raises `Damaged` if there is none of this format, or the file has another length."""
        try:
            header = cls(**json.loads(os.pread(file, BLOCK, 0)))
        except (ValueError, TypeError):
            raise Damaged("its header cannot be read") from None
        if header.format != FORMAT:
            raise Damaged(f"its format is {header.format}, not {FORMAT}")
        length = os.fstat(file).st_size
        if length != header.bytes:
            raise Damaged(f"it has {length} bytes instead of {header.bytes}")
        return header


def finish(file: int, layout: Layout, form: Form, split: str, checksums: np.ndarray) -> None:
    """Write table and header of a file that holds all images.

    Args:
        checksums: uint32 [N].
    """
    table = checksums.astype("<u4").tobytes()
    os.pwrite(file, table, BLOCK)
    header = Header(split[-LONGEST:], str(form), len(layout.ids), layout.bytes, zlib.crc32(table))
    os.pwrite(file, json.dumps(vars(header)).encode().ljust(BLOCK), 0)


def checksum(file: int, first: int, last: int) -> int:
    """CRC-32 of the bytes of a file from `first` to before `last`."""
    found = 0
    for start in range(first, last, STRETCH):
        found = zlib.crc32(os.pread(file, min(STRETCH, last - start), start), found)
    return found


class Mapped:
    """The images of a split in a mapped file.

    A shared lock on the file says that it is in use. Each image is checked when it is first read: a
    damaged one is decoded again, and the file is removed, so that the next process makes it anew.
    """

    def __init__(self, file: int, path: Path, layout: Layout, form: Form) -> None:
        """
        Args:
            file: a descriptor, which this object closes when it is no longer used.

        Raises:
            Damaged: the file is not what it should be.
        """
        self._file, self._path, self._layout, self._form = file, path, layout, form
        fcntl.flock(file, fcntl.LOCK_SH)
        header, count = Header.read(file), len(layout.ids)
        table = os.pread(file, 4 * count, BLOCK)
        if (header.images, header.bytes) != (count, layout.bytes):
            raise Damaged("it holds other images")
        if zlib.crc32(table) != header.table:
            raise Damaged("its checksums are not as they were written")
        self._checksums = np.frombuffer(table, "<u4")
        # Shared with forks of this process, so that each image is checked by one of them.
        self._checked = np.frombuffer(mmap.mmap(-1, count), dtype=bool)
        mapped = mmap.mmap(
            file,
            layout.bytes,
            flags=mmap.MAP_PRIVATE | _NO_RESERVE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )
        self._bytes = torch.frombuffer(mapped, dtype=torch.uint8)
        self._decoded: Decoded | None = None

    def __del__(self) -> None:
        os.close(self._file)

    def size(self, record: ImageRecord) -> Size:
        height, width = self._layout.sizes[self._layout.row(record)].tolist()
        return height, width

    def get(self, record: ImageRecord, window: Window | None = None) -> Tensor:
        """The image of a record in the file's form, or a window of it, uint8 [3, h, w]."""
        row = self._layout.row(record)
        first, last = self._layout.offsets[row : row + 2].tolist()
        if not self._checked[row]:
            # Read, not mapped: whoever wants a window has no more in memory than that.
            if checksum(self._file, first, last) != self._checksums[row]:
                return self._again(record, window)
            self._checked[row] = True
        image = self._bytes[first:last].view(3, *self._layout.sizes[row].tolist())
        return image if window is None else image[:, *window.slices]

    def _again(self, record: ImageRecord, window: Window | None) -> Tensor:
        if self._decoded is None:
            logger.warning(
                f"{self._path}: decoded images are damaged, at first that of {record.path}: they "
                "are decoded again"
            )
            self._path.unlink(missing_ok=True)
            self._decoded = Decoded(self._form)
        return self._decoded.get(record, window)
