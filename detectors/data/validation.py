"""Problems of a data set, each with its fix, and entries whose fields are read strictly (true and
"7" are not numbers, NaN is not a coordinate)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from searchspace.errors import InputError
from searchspace.reading import Unreadable, shown, visible

__all__ = [
    "DataError",
    "Entry",
    "Problem",
    "finite_number",
    "finite_numbers",
    "shown",
]

MAX_SHOWN = 50
MAX_INTEGER = 2**63 - 1  # ids pass through int64 arrays in pycocotools and torch


@dataclass(frozen=True)
class Problem:
    """A problem: its file, its entry, what is wrong, and how to fix it."""

    file: str
    entry: str
    what: str
    fix: str

    @classmethod
    def of(cls, error: Unreadable) -> Problem:
        """The problem of a file that cannot be read."""
        return cls(error.file, error.place or "file", error.what, error.fix)

    def __str__(self) -> str:
        return f"{self.entry}: {self.what}; {self.fix}"


class DataError(InputError):
    """A data set that cannot be used; `problems` has all that were found.

    The text lists the first 50, one per line, grouped by file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        listed = self.problems[:MAX_SHOWN]
        lines = []
        for file in dict.fromkeys(problem.file for problem in listed):
            lines.append(f"{visible(file)}:")
            lines += [f"  {visible(str(p))}" for p in listed if p.file == file]
        left_out = len(self.problems) - len(listed)
        if left_out:
            lines.append(f"and {left_out} more")
        return "\n".join(lines)


class Entry:
    """One image, category or annotation as a reader found it.

    Fields are checked for type and range. One that is missing or wrong is added to the problems of
    the data, is returned as None, and sets `ok` to False.

    Attributes:
        label: where in the file it stands, for messages: `images[3] id 17`, `line 4`.
        fields: what it says, by the keys that `detectors.data.readers.Entries` lists.
    """

    def __init__(
        self, file: Path, label: str, fields: dict[str, object], problems: list[Problem]
    ) -> None:
        self.label = label
        self.fields = fields
        self.ok = True
        self._file = file
        self._problems = problems

    def reject(self, what: str, fix: str) -> None:
        self.ok = False
        self._problems.append(Problem(str(self._file), self.label, what, fix))

    def has(self, key: str) -> bool:
        """Whether a required key is there."""
        if key not in self.fields:
            self.reject(f"lacks the key {key!r}", "add it")
            return False
        return True

    def integer(self, key: str, low: int, high: int = MAX_INTEGER) -> int | None:
        if not self.has(key):
            return None
        value = self.fields[key]
        if type(value) is not int:
            found = f"{shown(value)} ({type(value).__name__})"
            self.reject(f"{key} is {found}", "write an integer, without quotes or decimal point")
        elif not low <= value <= high:
            self.reject(f"{key} is {shown(value)}", f"use an integer from {low} to {high}")
        else:
            return value
        return None

    def flag(self, key: str) -> bool:
        """Whether a key that may be missing is 1 and not 0."""
        return key in self.fields and self.integer(key, 0, 1) == 1

    def text(self, key: str) -> str | None:
        if not self.has(key):
            return None
        value = self.fields[key]
        if isinstance(value, str) and value and _is_unicode(value):
            return value
        found = f"{shown(value)} ({type(value).__name__})"
        self.reject(f"{key} is {found}", "write a non-empty string of valid Unicode")
        return None


def finite_numbers(value: object) -> list[float] | None:
    """A JSON list of finite numbers as floats; None for anything else."""
    if not isinstance(value, list):
        return None
    numbers = [number for item in value if (number := finite_number(item)) is not None]
    return numbers if len(numbers) == len(value) else None


def finite_number(value: object) -> float | None:
    """A finite JSON number as a float; None for anything else, including true and "1"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond 1e308
        return None
    return number if math.isfinite(number) else None


def _is_unicode(value: str) -> bool:
    """Whether the string has no lone surrogates, which JSON allows but file names do not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
