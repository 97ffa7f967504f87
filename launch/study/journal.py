"""The journal of a study: the authoritative record of its trials.

An append-only file of trial records, one per line; the last line about a trial counts. A line is on
disk before anything acts on it. A journal can be read at any time; `Journal` writes to it, and is
only for the process that holds the study's lock.

Damaged lines are left out, and all others count. `Journal` moves them into a file beside it; what
they said of finished trials is in the folders of these.
"""

from __future__ import annotations

import codecs
import functools
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from detectors.files import append, written
from launch.files import DAMAGED_LINES
from launch.records import TrialRecord
from launch.trial.copies import SentJournal
from searchspace.words import counted

BEGINNING = re.compile(rb'{"number":(\d+),')
"""How a record begins in a journal that no editor has changed."""

NAMED = 5
"""The most damaged lines that are listed."""

Follower = Callable[[TrialRecord | None, TrialRecord], None]
"""Called with what was known of a trial, if anything, and what is known of it now."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Lost(Exception):
    """Another driver runs the trial now, so that nothing more of this attempt at it counts."""


class Journal:
    """Records by trial number, kept in memory and on disk; a torn last line is cut off.

    The methods about other drivers are those of a study that has one; see `SharedJournal`.

    Attributes:
        news: whether others wrote something that this driver has not acted on.
        elapsed: seconds for which the search went on before this driver began.
        trials: how many trials the drivers agreed on; None for those of the settings.
        salt: a number that differs from other drivers'.
    """

    news = False
    elapsed = 0.0
    trials: int | None = None
    salt = 0

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        parsed = _parsed(path)
        self._records = parsed.records
        self._ordered: tuple[TrialRecord, ...] | None = None
        self._last = max(self._records, default=-1)
        self._followers: list[Follower] = []
        _mend_end(path, parsed.size)
        if parsed.damaged:
            _set_aside(path, parsed.damaged)
        self._there = SentJournal(path.parent)
        self._there.send_all()

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The latest record of each trial, in order of their numbers."""
        if self._ordered is None:
            self._ordered = _ordered(self._records)
        return self._ordered

    @property
    def last(self) -> int:
        """The largest number of a trial; -1 without any."""
        return self._last

    def follow(self, follower: Follower) -> None:
        """Have each record noted as soon as it counts: now those that are there, then each
        change."""
        for record in self.records:
            follower(None, record)
        self._followers.append(follower)

    def get(self, number: int) -> TrialRecord:
        return self._records[number]

    def append(self, record: TrialRecord) -> None:
        """Make a record durable, at the address of the study as well.

        Raises:
            Lost: another driver runs the trial now.
        """
        self._write(record)

    def _write(self, record: TrialRecord) -> None:
        append(self._path, record.model_dump_json().encode() + b"\n", new=False)
        self._there.send()
        self._keep(record)

    def _keep(self, record: TrialRecord) -> None:
        before = self._records.get(record.number)
        self._records[record.number] = record
        self._last = max(self._last, record.number)
        self._ordered = None
        for follower in self._followers:
            follower(before, record)

    def in_turn(self, call: Callable[[], T]) -> T:
        """The value of a call that draws trials or reports to the sampler, which one driver does at
        a time. It is repeated while storage does not answer."""
        return call()

    def refresh(self) -> None:
        """Read what other drivers wrote."""

    def is_mine(self, number: int) -> bool:
        """Whether a trial that has not ended is this driver's to run."""
        return True

    @property
    def elsewhere(self) -> bool:
        """Whether other drivers run trials."""
        return False

    def orphans(self) -> list[int]:
        """The trials of drivers that died or left, which may be taken over; within a turn."""
        return []

    def take(self, number: int) -> TrialRecord:
        """Take over an orphan; within the same turn."""
        raise Lost(number)

    def agree(self, trials: int) -> None:
        """Change for all drivers how many trials there shall be."""


def read_journal(path: Path) -> tuple[TrialRecord, ...]:
    """The latest record of each trial, in order of their numbers; nothing is written.

    While a search writes to the journal, these are the records at some moment.

    Raises:
        FileNotFoundError: there is no journal.
    """
    parsed = _parsed(path)
    if parsed.damaged:
        _warn_once(
            f"{_damaged_in_words(path, parsed.damaged)}; the next resume of the search sets "
            "such lines aside, and takes results from the trials' folders"
        )
    return _ordered(parsed.records)


@functools.cache
def _warn_once(text: str) -> None:
    """Log a warning, however often a process reads the same damaged journal."""
    logger.warning(text)


def _ordered(records: dict[int, TrialRecord]) -> tuple[TrialRecord, ...]:
    return tuple(records[number] for number in sorted(records))


@dataclass(frozen=True)
class _Parsed:
    """What a journal holds.

    Attributes:
        records: by number.
        size: the number of bytes before a torn last line.
        damaged: other lines that are no records, by their numbers from 1.
    """

    records: dict[int, TrialRecord]
    size: int
    damaged: dict[int, bytes]


def _parsed(path: Path) -> _Parsed:
    """The lines of a journal.

    A torn line is the last one, whose writer was killed before acting on it. A complete record
    without a newline is not torn: some editors leave the last line like this.
    """
    # Not splitlines: names of categories may contain characters that it treats as line ends.
    *lines, rest = path.read_bytes().split(b"\n")
    size = sum(map(len, lines)) + len(lines)
    last = _record(rest)
    if last is not None or not rest.strip():
        size += len(rest)
    records, damaged = records_in(lines if last is None else [*lines, rest])
    return _Parsed(records, size, damaged)


def records_in(lines: Sequence[bytes]) -> tuple[dict[int, TrialRecord], dict[int, bytes]]:
    """The latest records of trials in whole lines, and damaged lines by their numbers from 1.

    Lines that later ones about the same trial replace are not read.
    """
    records: dict[int, TrialRecord] = {}
    damaged: dict[int, bytes] = {}
    for place in range(len(lines), 0, -1):
        line = lines[place - 1]
        begins = BEGINNING.match(line)
        if (begins and int(begins[1]) in records) or not line.removeprefix(codecs.BOM_UTF8).strip():
            continue
        record = _record(line)
        if record is None:
            damaged[place] = line
        else:
            records.setdefault(record.number, record)
    return records, dict(reversed(damaged.items()))


def _record(line: bytes) -> TrialRecord | None:
    """The record in a line; None if there is none."""
    try:
        return TrialRecord.read(line.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        return None


def _set_aside(path: Path, damaged: dict[int, bytes]) -> None:
    """Move damaged lines into a file next to the journal."""
    aside = path.with_name(DAMAGED_LINES)
    append(aside, b"".join(line + b"\n" for line in damaged.values()))
    lines = path.read_bytes().split(b"\n")
    with written(path) as file:
        file.write(b"\n".join(line for n, line in enumerate(lines, 1) if n not in damaged))
    logger.warning(
        f"{_damaged_in_words(path, damaged)}, and moved to {aside.name}; what finished trials "
        "came to is taken from their folders"
    )


def _damaged_in_words(path: Path, damaged: dict[int, bytes]) -> str:
    shown = ", ".join(map(str, list(damaged)[:NAMED])) + (", ..." if len(damaged) > NAMED else "")
    lines = counted(len(damaged), "damaged line")
    return f"{path}: {lines} left out, as no trial record ({shown})"


def _mend_end(path: Path, size: int) -> None:
    """Truncate the file after the records, and end the last line."""
    if path.stat().st_size > size:
        os.truncate(path, size)
    if size and path.read_bytes()[-1:] != b"\n":
        append(path, b"\n")
