"""How a trial fails: who is to blame, what can be read of it afterwards, when a search gives up."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from detectors.runtimes import RuntimeUnavailable
from detectors.training.train import TrainingFailed
from detectors.weights.published import WeightsUnavailable
from launch.records import UNTRAINED, TrialRecord
from launch.trial.data import TrialError
from searchspace.errors import SparrowError

Blame = Literal["design", "passing", "surroundings"]
"""What a failure is put down to: the `design`, which would fail again and which the sampler learns
from; something `passing`, such as a lost process or a bug, which the next resume tries again; or
the `surroundings`, such as a full disk, which stop the search and are no trial's fault."""

PATIENCE = 3
"""Trials that fail in a row for one cause before a search gives up."""

BROKEN_PLACES = {
    errno.ENOSPC: "there is no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the device does not answer (input/output error)",
    errno.ENOTDIR: "a file is in the way, where a folder should be",
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.EMFILE: "too many files are open (raise `ulimit -n`)",
    errno.ENFILE: "too many files are open on this machine",
    errno.ESTALE: "the network file system has lost the file",
    errno.ENOTCONN: "the network file system is not connected",
}
"""Errors of the operating system that no design causes, in words."""

LEAST_FREE = 1 << 20
"""Bytes; with less a disk counts as full."""

OUT_OF_MEMORY = ("DefaultCPUAllocator", "not enough memory", "ALLOC_FAILED", "out of memory")
"""What PyTorch and its libraries say where memory cannot be had, in errors of no type of their
own."""


class SearchStopped(SparrowError, RuntimeError):
    """A search that gave up; the message says why, and how to go on."""


@dataclass(frozen=True)
class Failure:
    """Why a trial came to no result.

    Attributes:
        reason: for the report.
        seconds: wall time that it took.
    """

    reason: str
    blame: Blame
    seconds: float = 0.0


def failure_of(error: Exception, folder: Path, seconds: float) -> Failure:
    """What an error that ended an attempt at a trial means.

    Args:
        folder: the trial's, which tells whether its disk is full.
    """
    if (broken := broken_place(error, folder)) is not None:
        return Failure(broken, "surroundings", seconds)
    if isinstance(error, WeightsUnavailable):
        return Failure(str(error), "surroundings", seconds)
    if isinstance(error, TrialError | TrainingFailed | RuntimeUnavailable):
        return Failure(str(error), "design", seconds)
    if _is_out_of_memory(error):
        return Failure(f"out of memory: {_first_line(error)}", "design", seconds)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return Failure(f"{type(error).__name__}: {_first_line(error)}{place}", "passing", seconds)


def users_fault(error: Exception) -> str | None:
    """What is wrong where a user, or who runs the machine, can mend it; None for a bug."""
    if isinstance(error, SparrowError):
        return str(error)
    if isinstance(error, OSError):
        return os_error_in_words(error)
    if _is_out_of_memory(error):
        return f"out of memory: {_first_line(error)}"
    return broken_place(error)


def broken_place(error: BaseException, folder: Path | None = None) -> str | None:
    """What is wrong with the disk or the file system, if that is the cause of an error.

    Libraries that write files themselves wrap the system's error in one of their own, or drop it;
    then the text, or at last the disk, tells.
    """
    chain = tuple(_chain(error))
    for link in chain:
        if isinstance(link, OSError) and link.errno in BROKEN_PLACES:
            return os_error_in_words(link)
    for code, words in BROKEN_PLACES.items():
        marks = f"(os error {code})", os.strerror(code)
        if any(mark in str(link) for link in chain for mark in marks):
            return f"{folder}: {words}" if folder else words
    if isinstance(error, TrialError | TrainingFailed | RuntimeUnavailable):
        return None
    for place in filter(None, (folder, Path(tempfile.gettempdir()))):
        if _is_full(place):
            return f"{place}: {BROKEN_PLACES[errno.ENOSPC]}"
    return None


def os_error_in_words(error: OSError) -> str:
    """One sentence with the path that an error is about."""
    words = BROKEN_PLACES.get(error.errno) or error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return words
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {words}"


def common_cause(endings: Sequence[TrialRecord]) -> str | None:
    """Why a search gives up: the reason that its latest trials share; None where it goes on.

    The first trials count, whatever is to blame; later on only failures that are no design's: a
    sampler may well try several designs in a row that are too large.

    Args:
        endings: of one run, oldest first.
    """
    tried = [record for record in endings if record.state not in UNTRAINED]
    latest = tried[-PATIENCE:]
    if len(latest) < PATIENCE or any(record.state != "failed" for record in latest):
        return None
    if len({_kind(record.reason or "") for record in latest}) > 1:
        return None
    first = all(record.state == "failed" for record in tried)
    passing = not any(record.lasting for record in latest)
    return latest[-1].reason if first or passing else None


def _kind(reason: str) -> str:
    """A reason without its names and numbers, which differ from trial to trial."""
    return re.sub(r"'[^']*'|\d+(\.\d+)?", "#", reason)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        hidden = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or hidden


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in OUT_OF_MEMORY)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]


def _is_full(place: Path) -> bool:
    there = next((p for p in (place, *place.parents) if p.exists()), None)
    return there is not None and shutil.disk_usage(there).free < LEAST_FREE
