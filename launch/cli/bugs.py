"""Bugs: their traceback is written to a file, and the terminal says where it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch.cli.debug import debugging
from launch.cli.lazy import is_usage
from launch.cli.terminal import errors, show_error
from launch.files import TRACEBACK
from launch.study.failures import users_fault
from launch.trial.log import TrialLog, keep_traceback, traceback_of, trial_log
from searchspace.errors import InputError
from searchspace.plugins import plugin_at_fault


class Bug(Exception):
    """A bug of Sparrow or of a plugin that ended a command; its cause is the error itself.

    Attributes:
        file: the file with the traceback; None if it could not be written.
    """

    def __init__(self, error: Exception, file: Path | None) -> None:
        self.file = file
        where = f"The traceback is in {file}" if file else "No file could keep the traceback"
        shown = f"{where}; --debug shows it at once."
        if fault := plugin_at_fault(error):
            super().__init__(f"{fault}\n{shown}")
            return
        super().__init__(
            f"this is a bug in Sparrow: {type(error).__name__}: {error}\n"
            f"{shown} Please report it with the command that you ran."
        )


@contextmanager
def bugs_kept_in(folder: Path) -> Iterator[None]:
    """Turn a bug into a `Bug`, and write its traceback into a command's folder.

    The folder, where it exists already, also keeps the traceback of what ends a command that was
    under way, such as a full disk, but not of input that is refused. A command that ends well
    removes it.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, Bug) or is_usage(error):
            raise
        if users_fault(error) is None:
            raise Bug(error, _kept(error, folder)) from error
        if folder.is_dir() and not isinstance(error, InputError):
            keep_traceback(error, folder)
        raise
    (folder / TRACEBACK).unlink(missing_ok=True)


@contextmanager
def evidence_in(folder: Path) -> Iterator[TrialLog]:
    """Keep the log of a trial that a command runs, and the traceback of an error."""
    with bugs_kept_in(folder), trial_log(folder) as log:
        yield log


def show_failure(error: Exception) -> None:
    """Print the error that ended a command, or for a bug the file with its traceback."""
    cause = error.__cause__ if isinstance(error, Bug) else error
    if debugging() and cause:
        errors.say_lines(traceback_of(cause))
    words = users_fault(error)
    if words is None and not isinstance(error, Bug):
        error = Bug(error, _kept(error, None))
    show_error(words or str(error))


def _kept(error: Exception, folder: Path | None) -> Path | None:
    """The file with the traceback of a bug, in the folder or in a temporary one."""
    if folder and (file := keep_traceback(error, folder)):
        return file
    try:
        return keep_traceback(error, Path(tempfile.mkdtemp(prefix="sparrow-")))
    except OSError:
        return None
