"""Failures of trials: their causes, their messages, and when a search gives up."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detectors.data.fetched import NoRoom
from detectors.data.validation import DataError
from detectors.remote import RemoteError
from detectors.runtimes import RuntimeUnavailable
from detectors.training.train import TrainingFailed
from detectors.weights.published import WeightsUnavailable
from launch.records import UNTRAINED, TrialRecord
from launch.trial.data import TrialError
from launch.trial.memory import is_out_of_memory
from searchspace.errors import SparrowError, first_line, named_line
from searchspace.masking import without_secrets

Blame = Literal["design", "passing", "surroundings"]
"""The cause of a failure: the `design`, which would fail again and which the sampler learns from;
something `passing`, such as a lost process or a bug, which is retried on resuming; or the
`surroundings`, such as a full disk, which stop the search and are not the trial's fault."""

PATIENCE = 3
"""Consecutive failures with the same cause after which a search gives up."""

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
    errno.ETIMEDOUT: "the network file system does not answer",
    errno.EREMOTEIO: "the network file system does not answer",
    **dict.fromkeys(
        (errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        "the network file system cannot be reached",
    ),
}
"""Errors of the operating system that no design causes, with their messages."""

LEAST_FREE = 1 << 20
"""Free bytes below which a disk counts as full."""


class SearchStopped(SparrowError, RuntimeError):
    """A search that gave up; the message says why, and how to resume."""


@dataclass(frozen=True)
class Failure:
    """Why a trial has no result.

    Attributes:
        reason: for the report; passwords and keys in it are masked.
        seconds: wall time that it took.
    """

    reason: str
    blame: Blame
    seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", without_secrets(self.reason))


def failure_of(error: Exception, folder: Path, seconds: float) -> Failure:
    """Classify an error that ended an attempt at a trial.

    Args:
        folder: the trial's, to check whether its disk is full.
    """
    if (broken := broken_place(error, folder)) is not None:
        return Failure(broken, "surroundings", seconds)
    if isinstance(error, WeightsUnavailable):
        return Failure(str(error), "surroundings", seconds)
    if isinstance(error, TrialError | TrainingFailed | RuntimeUnavailable):
        return Failure(str(error), "design", seconds)
    if is_out_of_memory(error):
        return Failure(f"out of memory: {first_line(error)}", "design", seconds)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return Failure(f"{named_line(error)}{place}", "passing", seconds)


def users_fault(error: Exception) -> str | None:
    """The problem, if the user or the machine's administrator can fix it; None for a bug."""
    if isinstance(error, SparrowError):
        return str(error)
    if isinstance(error, OSError):
        return os_error_in_words(error)
    if is_out_of_memory(error):
        return f"out of memory: {first_line(error)}"
    return broken_place(error)


def broken_place(error: BaseException, folder: Path | None = None) -> str | None:
    """The problem of the disk, the file system or the data, if that is the cause of an error.

    Libraries that write files themselves wrap the system's error, or drop it; then the text or the
    disk itself is checked.
    """
    chain = tuple(_chain(error))
    for link in chain:
        if isinstance(link, RemoteError | NoRoom | DataError):
            return " ".join(str(link).split())
        if isinstance(link, OSError) and link.errno in BROKEN_PLACES:
            return os_error_in_words(link)
    for code, words in BROKEN_PLACES.items():
        marks = f"(os error {code})", os.strerror(code)
        if any(mark in str(link) for link in chain for mark in marks):
            return f"{folder}: {words}" if folder else words
    if folder and not os.path.isdir(folder) and any(isinstance(e, OSError) for e in chain):
        return f"{folder}: it has gone"
    if isinstance(error, TrialError | TrainingFailed | RuntimeUnavailable):
        return None
    for place in filter(None, (folder, Path(tempfile.gettempdir()))):
        if _is_full(place):
            return f"{place}: {BROKEN_PLACES[errno.ENOSPC]}"
    return None


def os_error_in_words(error: OSError) -> str:
    """One sentence with the path that an error is about."""
    known = BROKEN_PLACES.get(error.errno) if error.errno else None
    words = known or error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return words
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {words}"


def common_cause(endings: Sequence[TrialRecord]) -> str | None:
    """Why a search gives up: the common reason of its latest trials; None if it goes on.

    For the first trials, all causes count; later, failures of designs do not: a sampler may try
    several designs in a row that are too large.

    Args:
        endings: of one run, oldest first.
    """
    backwards = (record for record in reversed(endings) if record.state not in UNTRAINED)
    latest = tuple(itertools.islice(backwards, PATIENCE))
    if len(latest) < PATIENCE or any(record.state != "failed" for record in latest):
        return None
    if len({_kind(record.reason or "") for record in latest}) > 1:
        return None
    first = all(record.state == "failed" for record in backwards)
    passing = not any(record.lasting for record in latest)
    return latest[0].reason if first or passing else None


def _kind(reason: str) -> str:
    """A reason without names and numbers, which differ between trials."""
    return re.sub(r"'[^']*'|\d+(\.\d+)?", "#", reason)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        hidden = None if link.__suppress_context__ else link.__context__
        link = link.__cause__ or hidden


def _is_full(place: Path) -> bool:
    there = next((p for p in (place, *place.parents) if p.exists()), None)
    return there is not None and shutil.disk_usage(there).free < LEAST_FREE
