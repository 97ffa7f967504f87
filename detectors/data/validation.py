"""Problems of a data set, each with its fix, and strict reading of JSON fields (true and "7" are
not numbers, NaN is not a coordinate)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from searchspace.errors import InputError
from searchspace.reading import Unreadable, read_json, shown, visible

__all__ = [
    "DataError",
    "Entry",
    "Problem",
    "finite_number",
    "finite_numbers",
    "read_document",
    "read_entries",
    "read_sections",
    "shown",
]

SECTIONS = ("images", "annotations", "categories")
MAX_SHOWN = 50
MAX_INTEGER = 2**63 - 1  # ids pass through int64 arrays in pycocotools and torch


@dataclass(frozen=True)
class Problem:
    """A problem: its file, its entry, what is wrong, and how to fix it."""

    file: str
    entry: str
    what: str
    fix: str

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
    """One entry of a list of the annotation file.

    Fields are checked for type and range. One that is missing or wrong is added to the problems of
    the file, is returned as None, and sets `ok` to False.
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

    def text(self, key: str) -> str | None:
        if not self.has(key):
            return None
        value = self.fields[key]
        if isinstance(value, str) and value and _is_unicode(value):
            return value
        found = f"{shown(value)} ({type(value).__name__})"
        self.reject(f"{key} is {found}", "write a non-empty string of valid Unicode")
        return None


def read_entries(
    file: Path, section: str, values: list[object], problems: list[Problem]
) -> Iterator[Entry]:
    """The JSON objects of one list; anything else in the list is added to the problems."""
    for index, value in enumerate(values):
        label = f"{section}[{index}]"
        if not isinstance(value, dict):
            found = f"is {shown(value)} ({type(value).__name__}), not an object"
            problems.append(Problem(str(file), label, found, "remove it or write it as {...}"))
            continue
        if type(value.get("id")) is int:
            label += f" id {shown(value['id'])}"
        yield Entry(file, label, value, problems)


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


def read_sections(path: Path) -> dict[str, list[object]]:
    """The lists `images`, `annotations` and `categories` of a COCO annotation file.

    Raises:
        DataError: as `read_document`.
    """
    document = read_document(path)
    return {key: document[key] for key in SECTIONS}


def read_document(path: Path) -> dict[str, Any]:
    """A COCO annotation file: its lists are checked to be lists, their entries are not read yet.

    UTF-8 with or without a byte order mark, and UTF-16 with one.

    Raises:
        DataError: the file cannot be read or is not a JSON object, or one of the lists is missing,
            is not a list, or (images and categories) is empty.
    """
    try:
        document = read_json(path)
    except Unreadable as error:
        place = error.place or "file"
        raise DataError([Problem(error.file, place, error.what, error.fix)]) from None
    if not isinstance(document, dict):
        found = f"is {shown(document)} ({type(document).__name__}), not an object"
        keys = ", ".join(f'"{key}": [...]' for key in SECTIONS)
        raise DataError([Problem(str(path), "top level", found, f"write it as {{{keys}}}")])
    problems = []
    for key in SECTIONS:
        what = _section_flaw(document, key)
        if what:
            fix = f"add {key} as a list of objects, as in COCO's instances_*.json"
            problems.append(Problem(str(path), key, what, fix))
    if problems:
        raise DataError(problems)
    return document


def _section_flaw(document: dict[str, object], key: str) -> str | None:
    if key not in document:
        return "is missing"
    if not isinstance(document[key], list):
        return f"is {shown(document[key])} ({type(document[key]).__name__}), not a list"
    if not document[key] and key != "annotations":
        return "is an empty list"
    return None


def _is_unicode(value: str) -> bool:
    """Whether the string has no lone surrogates, which JSON allows but file names do not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
