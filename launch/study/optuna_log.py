"""Optuna's log of a study, as a storage for a single process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from detectors.files import append
from searchspace.errors import InputError


class LogDamaged(InputError):
    """A log that Optuna could not read; the message names file and line."""


class OptunaLog(BaseJournalBackend):
    """Operations in a file with the format of Optuna's `JournalFileBackend`.

    In contrast to that, it needs no lock, as the study's is held; it checks every line when opened,
    as Optuna notices a damaged one only when more is written; and a write that fails on a full disk
    leaves no partial line.

    Raises:
        LogDamaged: a line is not an operation, except for a torn last one, which is removed.
    """

    def __init__(self, file: Path) -> None:
        file.touch()
        self._file = file
        # The start of each operation, and the end of the last one.
        self._places = [0]
        for number, line in enumerate(file.read_bytes().splitlines(keepends=True), 1):
            if _is_operation(line):
                self._places.append(self._places[-1] + len(line))
            elif number > 1 and not line.endswith(b"\n"):
                os.truncate(file, self._places[-1])
            else:
                raise LogDamaged(f"{file}, line {number} is damaged")

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The operations from this number on."""
        with open(self._file, "rb") as file:
            file.seek(self._places[log_number_from])
            for line in file:
                yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, all of them or none.

        A search writes one for each parameter of each draw, so that waiting for the disk would take
        longer than drawing. What a crash of the machine loses is in the study's journal.
        """
        lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        append(self._file, b"".join(lines), durably=False, new=False)
        for line in lines:
            self._places.append(self._places[-1] + len(line))


def _is_operation(line: bytes) -> bool:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return line.endswith(b"\n") and isinstance(read, dict) and "op_code" in read
