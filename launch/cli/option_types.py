"""Parsers of options: numbers within bounds, non-empty texts and paths.

A value that a parser rejects ends the command with status 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import typer

from searchspace.reading import shown


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
    if found.exists() and not found.is_dir():
        raise typer.BadParameter(f"{found} is a file; give a folder")
    return found


def in_file(value: str | Path) -> Path:
    """A file to read; a missing one is reported by the command."""
    found = path(value)
    if found.is_dir():
        raise typer.BadParameter(f"{found} is a folder; give a file")
    return found


def out_folder(value: str | Path) -> Path:
    """A folder to write to, which need not exist."""
    found = in_folder(value)
    _below_folders(found)
    return found


def out_file(value: str | Path) -> Path:
    """A file to write, which need not exist."""
    found = in_file(value)
    _below_folders(found)
    return found


def _below_folders(found: Path) -> None:
    """Reject a path below a file."""
    there = next((parent for parent in found.parents if parent.exists()), None)
    if there is not None and not there.is_dir():
        raise typer.BadParameter(f"{found} is below {there}, which is a file; choose another path")
