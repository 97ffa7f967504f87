"""What can be wrong with a data set, said so that it can be put right: problems, and JSON fields
that are read strictly (true is no number, "7" is no number, NaN is no coordinate)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """One thing that is wrong: in which file, at which entry, what it is, and what to do."""

    file: str
    entry: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.entry}: {self.what}; {self.fix}"


class DataError(ValueError):
    """A data set that cannot be used; `problems` has everything that was found.

    The text lists them one a line under their file, the first 50.
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
    """One object of a list of the annotation file.

    Its fields are read by type and range; each that is missing or wrong is added to the problems
    of the file, comes back as None, and makes the entry no longer `ok`.
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
            self.reject(f"{key} is {found}", "write it as a whole number, without quotes or point")
        elif not low <= value <= high:
            self.reject(f"{key} is {shown(value)}", f"use a whole number from {low} to {high}")
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
        self.reject(f"{key} is {found}", "write it as a non-empty string of valid Unicode")
        return None


def read_entries(
    file: Path, section: str, values: list[object], problems: list[Problem]
) -> Iterator[Entry]:
    """The objects of one list; whatever else stands in the list is added to the problems."""
    for index, value in enumerate(values):
        label = f"{section}[{index}]"
        if not isinstance(value, dict):
            found = f"is {shown(value)} ({type(value).__name__}), no object"
            problems.append(Problem(str(file), label, found, "remove it or write it as {...}"))
            continue
        if type(value.get("id")) is int:
            label += f" id {shown(value['id'])}"
        yield Entry(file, label, value, problems)


def finite_numbers(value: object) -> list[float] | None:
    """A JSON list of finite numbers as floats; None when it is anything else."""
    if not isinstance(value, list):
        return None
    numbers = [finite_number(item) for item in value]
    return None if None in numbers else numbers


def finite_number(value: object) -> float | None:
    """A finite JSON number as a float; None when it is anything else, also true and "1"."""
    if type(value) not in (int, float):
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
    """A COCO annotation file, whose lists are known to be lists and whose entries are not read yet.

    UTF-8 with or without a byte order mark, and UTF-16 with one.

    Raises:
        DataError: the file cannot be read, is no JSON object, or a list is missing, is no list, or
            (images and categories) is empty.
    """
    try:
        document = read_json(path)
    except Unreadable as error:
        place = error.place or "file"
        raise DataError([Problem(error.file, place, error.what, error.fix)]) from None
    if not isinstance(document, dict):
        found = f"is {shown(document)} ({type(document).__name__}), no object"
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
        return f"is {shown(document[key])} ({type(document[key]).__name__}), no list"
    if not document[key] and key != "annotations":
        return "is an empty list"
    return None


def _is_unicode(value: str) -> bool:
    """JSON can spell halves of surrogate pairs, which no file name and no report can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
