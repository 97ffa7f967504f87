"""Optuna's log of a study, as a storage for a single process."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial

from detectors.files import append
from searchspace.errors import InputError

Operation = dict[str, Any]


class LogDamaged(InputError):
    """A log that Optuna could not read; the message names file and line."""


class OptunaLog(BaseJournalBackend):
    """Operations in a file with the format of Optuna's `JournalFileBackend`.

    In contrast to that, it needs no lock, as the study's is held; it checks every line when opened,
    as Optuna notices a damaged one only when more is written; a write that fails on a full disk
    leaves no partial line; and what is written in one go takes fewer lines than operations. It is
    for one `JournalStorage`, which reads each operation once.

    Raises:
        LogDamaged: a line is not an operation, except for a torn last one, which is removed.
    """

    def __init__(self, file: Path) -> None:
        file.touch()
        self._file = file
        self._opened, size = 0, 0  # operations that were there, and their bytes
        with open(file, "rb") as lines:
            for line in lines:
                if _is_operation(line):
                    self._opened, size = self._opened + 1, size + len(line)
                elif self._opened and not line.endswith(b"\n"):
                    os.truncate(file, size)
                else:
                    raise LogDamaged(f"{file}, line {self._opened + 1} is damaged")
        self._first = self._opened  # the number of the first of those that follow
        self._latest: list[Operation] = []
        self._held: list[Operation] | None = None
        self._owed: list[Operation] = []  # could not be written, and are known to Optuna
        self._made: dict[int, Operation] = {}

    def read_logs(self, log_number_from: int) -> Iterator[Operation]:
        """The operations from this number on."""
        if log_number_from < self._opened:
            with open(self._file, "rb") as lines:
                whole = itertools.islice(lines, log_number_from, self._opened)
                yield from map(json.loads, whole)
        elif log_number_from > self._first:
            del self._latest[: log_number_from - self._first]
            self._first = log_number_from
        yield from tuple(self._latest)

    def append_logs(self, logs: list[Operation]) -> None:
        """Write operations, all of them or none.

        What a crash of the machine loses is in the study's journal, so it does not wait for the
        disk.
        """
        if self._held is None:
            self._write(logs)
        else:
            self._held += json.loads(json.dumps(logs))
        # As they would be read from the file.
        self._latest += json.loads(json.dumps(logs))

    def made(self, trial: int) -> None:
        """Note the id that Optuna gave to the trial that the last operation made."""
        if self._held:
            self._made[trial] = self._held[-1]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """The operations of the context are written at its end, in one go. Those on trials that
        they make are part of their making: a draw of fifty parameters is one line."""
        if self._held is not None:
            yield
            return
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            self._owed += _merged(held, self._made)
            self._made = {}
            if self._owed:
                self._write([])

    def _write(self, logs: list[Operation]) -> None:
        operations = [*self._owed, *logs]
        lines = (json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in operations)
        append(self._file, b"".join(lines), durably=False, new=False)
        self._owed = []


class LogStorage(JournalStorage):
    """Optuna's storage in such a file.

    Raises:
        LogDamaged: see `OptunaLog`.
    """

    def __init__(self, file: Path) -> None:
        self._log = OptunaLog(file)
        super().__init__(self._log)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial = super().create_new_trial(study_id, template_trial)
        self._log.made(trial)
        return trial

    def together(self) -> contextlib.AbstractContextManager[None]:
        """See `OptunaLog.together`."""
        return self._log.together()


def _merged(operations: Iterable[Operation], made: dict[int, Operation]) -> list[Operation]:
    """The same in fewer operations.

    Args:
        made: those that make trials, by the trial's id.
    """
    left = []
    for one in operations:
        making = made.get(one.get("trial_id", -1))
        if making is None or not _merge(one, making):
            left.append(one)
    return left


def _merge(one: Operation, making: Operation) -> bool:
    """Let the operation that makes a trial do what another does to it; returns whether it can."""
    match one["op_code"]:
        case JournalOperation.SET_TRIAL_PARAM:
            name = one["param_name"]
            making.setdefault("params", {})[name] = one["param_value_internal"]
            making.setdefault("distributions", {})[name] = one["distribution"]
        case JournalOperation.SET_TRIAL_USER_ATTR:
            making.setdefault("user_attrs", {}).update(one["user_attr"])
        case JournalOperation.SET_TRIAL_SYSTEM_ATTR:
            making.setdefault("system_attrs", {}).update(one["system_attr"])
        case JournalOperation.SET_TRIAL_STATE_VALUES:
            making |= {
                name: value
                for name, value in one.items()
                if name in ("state", "datetime_start", "datetime_complete")
                or (name == "values" and value is not None)
            }
            making.pop("value", None)
        case _:
            return False
    return True


def _is_operation(line: bytes) -> bool:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return line.endswith(b"\n") and isinstance(read, dict) and "op_code" in read
