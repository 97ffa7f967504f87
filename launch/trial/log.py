"""The log of a trial: what was reported and warned of while it ran, in its folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

LOG = "log.txt"

FORMAT = logging.Formatter("%(asctime)s %(name)s: %(message)s")


class TrialLog(logging.FileHandler):
    """Appends to the trial's `log.txt` line by line, so that it outlives a killed process.

    A log that cannot be written never ends a trial.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / LOG, encoding="utf-8", errors="backslashreplace", delay=True)
        self.setFormatter(FORMAT)
        # Python prints warnings by itself only while no handler is installed.
        self._prints = not logging.root.handlers

    def note(self, text: str) -> None:
        """Write a line of our own, which goes to no other handler."""
        self.handle(logging.LogRecord("trial", logging.INFO, "", 0, text, None, None))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)
        if self._prints and logging.lastResort and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk is reported by whoever writes results there."""


@contextlib.contextmanager
def trial_log(folder: Path) -> Iterator[TrialLog]:
    """Log into a trial's folder for the time of an attempt."""
    log = TrialLog(folder)
    logging.root.addHandler(log)
    try:
        yield log
    finally:
        logging.root.removeHandler(log)
        log.close()
