"""Known results as a CSV file: columns are parameters of a space and figures, rows are trials."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from launch.figures import FIGURES
from launch.records import TRAINING, Param
from searchspace import Space
from searchspace.errors import InputError
from searchspace.names import closest
from searchspace.reading import Unreadable, in_words, read_text, shown

ENDS = ("low", "high")
"""Suffixes of columns with the ends of a figure's interval."""

_BOUNDS = tuple(f"{name}_{end}" for name in FIGURES for end in ENDS)
IGNORED = ("number", "folder", "origin", *TRAINING, *_BOUNDS)
"""Further columns, besides figures, that are allowed, as in a study's `front.csv`."""

Row = tuple[dict[str, Param], dict[str, float]]


class CsvError(InputError):
    """A file of known results that cannot be read; the message names file, line, column and fix."""


def read_rows(file: Path, space: Space, figures: Sequence[str]) -> list[Row]:
    """The parameters and figures of each row; a study's `front.csv` is such a file.

    Cells of parameters that are inactive in a row are empty.

    Args:
        figures: the columns that every row must have a number in.

    Raises:
        CsvError: there is no such file or no row, a column is neither a parameter of the space nor
            a figure (the nearest is suggested), a column is missing, or a cell does not fit.
    """
    try:
        reader = csv.reader(io.StringIO(read_text(file), newline=""))
        names = _checked(file, next(reader, []), space, figures)
        return [
            _read(_Cells(f"{file}, line {reader.line_num}", names, cells), space, figures)
            for cells in reader
            if any(cells)
        ] or _no_rows(file)
    except Unreadable as error:
        raise CsvError(str(error)) from None
    except csv.Error as error:
        raise CsvError(f"{file}: is not CSV ({error}); export the file again") from None


def _no_rows(file: Path) -> list[Row]:
    raise CsvError(f"{file}: there are no results below the line of column names")


def _checked(file: Path, names: list[str], space: Space, figures: Sequence[str]) -> list[str]:
    """The names of columns, each valid and there once."""
    params = [path for path, _ in space.searched()]
    known = {*params, *FIGURES, *IGNORED}
    for number, name in enumerate(names, 1):
        place = f"{file}, line 1, column {number}"
        if name not in known:
            raise CsvError(
                f"{place}: {shown(name)} is neither a parameter of the space {space.name} nor a "
                f"figure{closest(name, [*params, *figures])}"
            )
        if name in names[: number - 1]:
            raise CsvError(f"{place}: {name} appears twice; remove one of them")
    for name in figures:
        if name not in names:
            raise CsvError(
                f"{file}, line 1: there is no column {name}, which is an objective or constraint "
                "of this search: add it"
            )
    return names


def _read(cells: _Cells, space: Space, figures: Sequence[str]) -> Row:
    try:
        space.suggest(cells)
    except ValidationError as error:
        raise CsvError(f"{cells.place}: not a valid configuration: {in_words(error)}") from None
    for path, _ in space.searched():
        if path not in cells.params and cells.filled(path):
            raise cells.wrong(path, "is inactive with the other values of its row; empty the cell")
    return cells.params, {name: cells.figure(name) for name in figures}


class _Cells:
    """One row, in the role of an Optuna trial whose parameters are drawn from the cells.

    Attributes:
        place: file and line.
        params: the drawn parameters.
    """

    def __init__(self, place: str, names: Sequence[str], cells: Sequence[str]) -> None:
        if len(cells) != len(names):
            raise CsvError(f"{place}: {len(cells)} cells under {len(names)} column names")
        self.place = place
        self.params: dict[str, Param] = {}
        self._cells = {n: cell.strip() for n, cell in zip(names, cells, strict=True)}

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        text = self._cell(name, empty="" if None in choices else None)
        fitting = [choice for choice in choices if _same(choice, text)]
        if not fitting:
            raise self.wrong(name, f"is not one of {', '.join(map(str, choices))}")
        return self._draw(name, fitting[0])

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        value = _number(self._cell(name))
        if not low <= value <= high or value != int(value) or (value - low) % step:
            steps = f" in steps of {step}" if step > 1 else ""
            raise self.wrong(name, f"is not an integer from {low} to {high}{steps}")
        return self._draw(name, int(value))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        value = _number(self._cell(name))
        if not low <= value <= high:
            raise self.wrong(name, f"is not a number from {low:g} to {high:g}")
        return self._draw(name, value)

    def figure(self, name: str) -> float:
        value = _number(self._cell(name))
        by_ratio = FIGURES[name].scale == "log"
        if not math.isfinite(value) or (by_ratio and value <= 0):
            above = " above 0" if by_ratio else ""
            raise self.wrong(name, f"is not a number{above}")
        return value

    def filled(self, name: str) -> bool:
        return bool(self._cells.get(name))

    def wrong(self, name: str, what: str) -> CsvError:
        return CsvError(f"{self.place}, column {name}: {shown(self._cells[name])} {what}")

    def _cell(self, name: str, empty: str | None = None) -> str:
        """The text of a cell; `empty` is the meaning of an empty one, if it has any."""
        if name not in self._cells:
            raise CsvError(f"{self.place}: needs a value of {name}, but there is no such column")
        text = self._cells[name] or empty
        if text is None:
            raise CsvError(f"{self.place}, column {name}: empty, but this row needs a value there")
        return text

    def _draw(self, name: str, value: Any) -> Any:
        self.params[name] = value
        return value


def _same(choice: Any, text: str) -> bool:
    """Whether a cell equals a choice; numbers are compared by value, None is an empty cell."""
    if choice is None:
        return text == ""
    if isinstance(choice, bool):
        return text.lower() == str(choice).lower()
    return text == choice if isinstance(choice, str) else _number(text) == choice


def _number(text: str) -> float:
    """The number in a cell; NaN if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
