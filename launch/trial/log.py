"""The log of a trial, and the traceback of the error that ended it, in its folder."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

from launch.files import LOG, TRACEBACK
from searchspace.masking import without_secrets

LAST_LINES = 20
"""Of a log, which are shown where a failure is shown at once."""


class Masking(logging.Formatter):
    """Lines without passwords and keys."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


FORMAT = Masking("%(asctime)s %(name)s: %(message)s")


class TrialLog(logging.FileHandler):
    """Appends to the trial's `log.txt` line by line, so that it outlives a killed process.

    A log that cannot be written never ends a trial.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / LOG, encoding="utf-8", errors="backslashreplace", delay=True)
        self.setFormatter(FORMAT)
        # Python prints warnings itself only if no handler is installed.
        self._prints = not logging.root.handlers

    def note(self, text: str) -> None:
        """Write a line to this log only."""
        self.handle(logging.LogRecord("trial", logging.INFO, "", 0, text, None, None))

    def note_epoch(self, stage: str, epoch: int, losses: dict[str, float]) -> None:
        """Write the losses of an epoch."""
        values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        self.note(f"{stage}, epoch {epoch}: {values}")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)
        if self._prints and logging.lastResort and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore errors: a full disk is reported when results are written."""


@contextlib.contextmanager
def trial_log(folder: Path) -> Iterator[TrialLog]:
    """Log into a trial's folder during an attempt."""
    log = TrialLog(folder)
    logging.root.addHandler(log)
    try:
        yield log
    finally:
        logging.root.removeHandler(log)
        log.close()


def keep_traceback(error: BaseException, folder: Path) -> Path | None:
    """Leave the whole traceback of an error in a folder; None where the folder does not take it."""
    file = folder / TRACEBACK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback_of(error), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None  # where the disk is the fault, the reason says so
    return file


def traceback_of(error: BaseException) -> str:
    """As Python prints it, without passwords and keys."""
    return without_secrets("".join(traceback.format_exception(error)))


def evidence(folder: Path) -> tuple[Path, ...]:
    """The log files of a failed trial."""
    return tuple(file for name in (TRACEBACK, LOG) if (file := folder / name).exists())


def last_lines(file: Path) -> str:
    """All of a traceback; the end of a log."""
    lines = file.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    return "\n".join(lines if file.name == TRACEBACK else lines[-LAST_LINES:])
