"""Parsers of options: numbers within bounds, non-empty texts and paths.

A value that a parser rejects ends the command with status 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import typer

from searchspace.errors import InputError
from searchspace.places import check_place
from searchspace.reading import shown

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
    return Path(text(str(value)))


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
