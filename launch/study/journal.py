"""The journal of a study: the authoritative record of its trials.

An append-only file of trial records, one per line; the last line about a trial counts. A line is on
disk before anything acts on it. A journal can be read at any time; `Journal` writes to it, and is
only for the process that holds the study's lock.
"""

from __future__ import annotations

import codecs
import os
import shlex
from pathlib import Path

from pydantic import ValidationError

from detectors.files import append
from launch.records import TrialRecord
from searchspace.errors import InputError


class JournalError(InputError):
    """A journal that cannot be read; the message names file, line and fix."""


class Journal:
    """Records by trial number, kept in memory and on disk; a torn last line is cut off."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._records, size = _parsed(path)
        _mend_end(path, size)

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The latest record of each trial, in order of their numbers."""
        return _ordered(self._records)

    def get(self, number: int) -> TrialRecord:
        return self._records[number]

    def append(self, record: TrialRecord) -> None:
        """Make a record durable."""
        append(self._path, record.model_dump_json().encode() + b"\n")
        self._records[record.number] = record


def read_journal(path: Path) -> tuple[TrialRecord, ...]:
    """The latest record of each trial, in order of their numbers; nothing is written.

    While a search writes to the journal, these are the records at some moment.

    Raises:
        JournalError: a line is damaged.
        FileNotFoundError: there is no journal.
    """
    return _ordered(_parsed(path)[0])


def _ordered(records: dict[int, TrialRecord]) -> tuple[TrialRecord, ...]:
    return tuple(records[number] for number in sorted(records))


def _parsed(path: Path) -> tuple[dict[int, TrialRecord], int]:
    """The records by number, and the number of bytes that they occupy in the file.

    The rest is a torn line: its writer was killed before acting on it. A complete record without a
    newline is not torn: some editors leave the last line like this.
    """
    # Not splitlines: names of categories may contain characters that it treats as line ends.
    lines = path.read_bytes().split(b"\n")
    records: dict[int, TrialRecord] = {}
    size = 0
    for number, line in enumerate(lines, 1):
        last = number == len(lines)
        try:
            text = line.removeprefix(codecs.BOM_UTF8)
            record = TrialRecord.model_validate_json(text) if text.strip() else None
        except ValidationError:
            if last:
                break
            raise JournalError(_damaged(path, number)) from None
        if record is not None:
            records[record.number] = record
        size += len(line) + (not last)
    return records, size


def _damaged(path: Path, line: int) -> str:
    return (
        f"{path}, line {line} is damaged (not a trial record): restore a copy of the file, or "
        f"delete that line (sed -i {line}d {shlex.quote(str(path))}) and resume the search, which "
        "takes the trial's result from its folder"
    )


def _mend_end(path: Path, size: int) -> None:
    """Truncate the file after the records, and end the last line."""
    if path.stat().st_size > size:
        os.truncate(path, size)
    if size and path.read_bytes()[-1:] != b"\n":
        append(path, b"\n")
