"""Parsers of options: numbers within bounds, non-empty texts and paths.

A value that a parser rejects ends the command with status 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import typer

from searchspace.errors import InputError
from searchspace.masking import is_address, without_secrets
from searchspace.places import check_place
from searchspace.reading import shown

T = TypeVar("T")

_here: ContextVar[bool] = ContextVar("here", default=True)


@contextmanager
def elsewhere() -> Iterator[None]:
    """Meanwhile, paths are those of other machines: what this one has there does not count."""
    token = _here.set(False)
    try:
        yield
    finally:
        _here.reset(token)


def number(
    above: float = -math.inf, low: float = -math.inf, high: float = math.inf
) -> Callable[[str | float], float]:
    """A parser of finite numbers, which raises `typer.BadParameter` for others.

    Args:
        above: the number must be larger than this.
        low, high: bounds, both included.
    """

    def parse(text: str | float) -> float:
        try:
            value = float(text)
        except (ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value) or value <= above or not low <= value <= high:
            raise typer.BadParameter(f"{shown(text)}: give a number{_bounds(above, low, high)}")
        return value

    return parse


def _bounds(above: float, low: float, high: float) -> str:
    parts = [f"above {above:g}"] if above > -math.inf else []
    parts += [f"from {low:g}"] if low > -math.inf else []
    parts += [f"to {high:g}"] if high < math.inf else []
    return "".join(f" {part}" for part in parts)


def text(value: str) -> str:
    """A text that is not empty."""
    if not value.strip():
        raise typer.BadParameter("it is empty; give a value, or remove the option")
    return value


def path(value: str | Path) -> Path:
    """A non-empty path: Python takes an empty one for the working folder."""
    if is_address(str(value)):
        raise typer.BadParameter(
            f"{without_secrets(str(value))} is an address; give a path. Only a study (--out) and "
            "data (--data) can be at an address"
        )
    return Path(text(str(value)))


def data(value: str | Path) -> Path | str:
    """Where data lie: a path, or the address of a folder, of which nothing is fetched yet."""
    if not is_address(str(value)):
        return path(value)
    from detectors.remote import checked

    return _of_remote(lambda: checked(str(value)))


def in_folder(value: str | Path) -> Path:
    """A folder to read; a missing one is reported by the command."""
    found = path(value)
    if _here.get() and found.exists() and not found.is_dir():
        raise typer.BadParameter(f"{found} is a file; give a folder")
    return found


def in_file(value: str | Path) -> Path:
    """A file to read; a missing one is reported by the command."""
    found = path(value)
    if _here.get() and found.is_dir():
        raise typer.BadParameter(f"{found} is a folder; give a file")
    return found


def out_folder(value: str | Path) -> Path:
    """A folder to write to, which need not exist."""
    return in_folder(_writable(path(value)))


def out_study(value: str | Path) -> Path:
    """The folder of a study to begin: of one at an address, this machine's copy."""
    return _copy(str(value)) if is_address(str(value)) else out_folder(value)


def resumed_study(value: str | Path) -> Path:
    """The folder of a study to go on with; of one at an address, nothing is fetched yet."""
    return _copy(str(value)) if is_address(str(value)) else in_folder(value)


def in_study(value: str | Path) -> Path:
    """The folder of a study to read; of one at an address, what is new is fetched."""
    if not is_address(str(value)):
        return in_folder(value)
    # Only here: it loads torch.
    from launch.trial.copies import study_place

    return _of_remote(lambda: study_place("study", str(value)))


def model(value: str) -> str:
    """The name of a model; that of a trial at an address, which is fetched, in this machine's
    copy."""
    if not is_address(value):
        return text(value)
    # Only here: it loads torch.
    from launch.cli.models import fetched_name

    return _of_remote(lambda: fetched_name(value))


def _copy(address: str) -> Path:
    from launch.trial.remote_study import RemoteStudy

    return _of_remote(lambda: RemoteStudy.at(address).copy)


def _of_remote(get: Callable[[], T]) -> T:
    try:
        return get()
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


def out_file(value: str | Path) -> Path:
    """A file to write, which need not exist."""
    return in_file(_writable(path(value)))


def _writable(found: Path) -> Path:
    """Reject a path at which nothing can be written."""
    if not _here.get():
        return found
    try:
        check_place(found)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None
    return found
