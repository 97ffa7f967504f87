"""The journal of a study: the one truth about its trials.

An append-only file of trial records, one a line; the last line about a trial counts. A line is on
disk before anything acts on it.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from launch.records import TrialRecord


class JournalError(ValueError):
    """A journal that cannot be read; the message names file and line."""


class Journal:
    """Records by trial number, kept in memory and on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: dict[int, TrialRecord] = {}
        if path.exists():
            _drop_torn_line(path)
            self._read()

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The latest record of each trial, in order of their numbers."""
        return tuple(self._records[number] for number in sorted(self._records))

    def get(self, number: int) -> TrialRecord:
        return self._records[number]

    def append(self, record: TrialRecord) -> None:
        """Make a record durable."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._records[record.number] = record

    def _read(self) -> None:
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = TrialRecord.model_validate_json(line)
            except ValidationError as error:
                raise JournalError(
                    f"{self._path}, line {number}: not a trial record ({error.error_count()} "
                    f"errors): restore the file or remove the line"
                ) from error
            self._records[record.number] = record


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line without its end: whoever wrote it was killed and acted on nothing."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with open(path, "r+b") as file:
            file.truncate(len(whole))
