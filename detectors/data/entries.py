"""Images, classes and annotations as files have them: strictly typed, before they are compared with
anything.

A reader makes an entry of what it found by `ImageEntry.of`, `CategoryEntry.of` or
`AnnotationEntry.of`. Values are taken as tools write them: an id may be a number as text or 7.0, a
flag may be false or "0". A field of any other value is a problem, and the entry is not `ok`; fields
that an image or a box can do without are left out with a warning instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SkipValidation,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from detectors.data.segmentation import Segmentation, read_segmentation
from detectors.data.validation import Findings, shown

MAX_INTEGER = 2**63 - 1  # ids pass through int64 arrays in pycocotools and torch

Key = int | str
"""An id: numbers are numbers however they are written; any other text stands for itself."""

STRICT = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

FLAGS: dict[object, bool] = {
    0: False, 1: True, None: False,
    "": False, "0": False, "1": True, "no": False, "yes": True, "false": False, "true": True,
}  # fmt: skip
"""Flags as tools write them; False, True, 0.0 and 1.0 equal 0 and 1."""


def _whole(value: float) -> float | int | str:
    """7.0 as 7, and 7.5 as a text: exporters turn columns of ids into floats."""
    return int(value) if value.is_integer() else str(value)


def _number(text: str) -> Key:
    """A whole number as text, such as "7" or "7.0", as a number; another text as it is."""
    digits, _, decimals = text.strip().partition(".")
    if digits.isascii() and digits.isdigit() and not decimals.strip("0") and len(digits) < 19:
        return int(digits)
    return text


def _text(value: str) -> str:
    """A text that is not empty and has no lone surrogate: JSON allows those, file names do not."""
    if not value.strip():
        raise ValueError("it is empty")
    value.encode()
    return value


def _flag(value: object) -> object:
    name = value.strip().lower() if isinstance(value, str) else value
    return FLAGS.get(name, value) if isinstance(name, str | int | float | None) else value


def _side(value: object) -> object:
    """A side of an image: a number as text or 40.0 is a number."""
    value = _number(value) if isinstance(value, str) else value
    return _whole(value) if isinstance(value, float) and math.isfinite(value) else value


def finite_number(value: object) -> float | None:
    """A finite JSON number as a float; None for anything else, including true and "1"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond 1e308
        return None
    return number if math.isfinite(number) else None


def as_float(text: str) -> float:
    """A number as text; raises ValueError, also for `1_0`, which is one in Python's code alone."""
    try:
        return float("" if "_" in text else text)
    except ValueError:
        raise ValueError(f"{shown(text)} is no number") from None


def _float(value: object) -> object:
    try:
        return as_float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _floats(value: object) -> object:
    """A list with numbers as texts in it as one of numbers."""
    if isinstance(value, list) and any(isinstance(side, str) for side in value):
        return [_float(side) for side in value]
    return value


@dataclass(frozen=True)
class Says:
    """Metadata of a field: what is said of a value that it does not take.

    Attributes:
        fix: how to mend it, or what is used in its place.
        expected: what it is not.
        spare: an entry can do without the field.
    """

    fix: str
    expected: str = ""
    spare: bool = False


_Text = Annotated[str, AfterValidator(_text)]
Text = Annotated[_Text, Says("write a non-empty string of valid Unicode")]
if TYPE_CHECKING:
    _Id = Key  # a float is read, but becomes an integer or a text
else:
    _Id = (
        Annotated[int, Field(ge=0, le=MAX_INTEGER)]
        | Annotated[_Text, AfterValidator(_number)]
        | Annotated[float, Field(ge=0, lt=MAX_INTEGER), AfterValidator(_whole)]
    )
_ID = Says(f"use an integer from 0 to {MAX_INTEGER}, or a text")
Id = Annotated[_Id, _ID]
Flag = Annotated[bool, BeforeValidator(_flag), Says("write an integer from 0 to 1")]
Side = Annotated[
    Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None,
    BeforeValidator(_side),
    Says("it is taken from the file", spare=True),
]
Box = Annotated[
    list[float],
    Field(min_length=4, max_length=4),
    BeforeValidator(_floats),
    Says("write [x, y, width, height]", expected="four finite numbers"),
]
Area = Annotated[
    float | None,
    BeforeValidator(_float),
    Says("it is computed from the mask or the box", spare=True),
]
Mask = Annotated[
    Segmentation | None,
    PlainValidator(read_segmentation),
    Says("the box stays, and the mask is left out", spare=True),
]


PLACE = ("file", "label", "findings", "ok")


@dataclass(slots=True, kw_only=True, config=STRICT)
class Entry:
    """What one place in a file says.

    Attributes:
        file, label: the place, for messages: `images[3] id 17`, `line 4`.
        ok: whether every field that it needs could be read; those that could not have their
            defaults, or None.
    """

    file: SkipValidation[Path]
    label: SkipValidation[str]
    findings: SkipValidation[Findings] = Field(repr=False)
    ok: bool = True

    @classmethod
    def of(cls, file: Path, label: str, found: Mapping[str, object], findings: Findings) -> Self:
        """The entry of the fields that a reader found; keys that it has no field for are unused."""
        try:
            # pyrefly: ignore[bad-argument-type] (the model checks what it is given)
            return cls(file=file, label=label, findings=findings, **found)
        except (ValidationError, TypeError):  # TypeError: a key that is called like the place
            return cls._by_field(file, label, found, findings)

    @classmethod
    def _by_field(
        cls, file: Path, label: str, found: Mapping[str, object], findings: Findings
    ) -> Self:
        """The same, field by field, with a finding for each that cannot be read."""
        entry = object.__new__(cls)
        entry.file, entry.label, entry.findings, entry.ok = file, label, findings, True
        for name, (adapter, default, says) in _readers(cls).items():
            value = None if default is MISSING else default
            if name in found:
                try:
                    value = adapter.validate_python(found[name])
                except ValidationError as error:
                    entry._flaw(name, found[name], says, error)
            elif default is MISSING:
                entry.reject(f"lacks the key {name!r}", "add it", f"no {name}")
            setattr(entry, name, value)
        return entry

    def _flaw(self, name: str, value: object, says: Says, error: ValidationError) -> None:
        first = error.errors(include_url=False)[0]
        if says.spare and first["type"] == "value_error":
            self.spare(name, str(first["ctx"]["error"]))
            return
        found = f", not {says.expected}" if says.expected else f" ({type(value).__name__})"
        enter = self.warn if says.spare else self.reject
        enter(f"{name} is {shown(value)}{found}", says.fix, f"{name} cannot be read")

    def fields(self) -> tuple[object, ...]:
        """All that it says, without its place."""
        return tuple(getattr(self, name) for name in _readers(type(self)))

    def lacks(self, name: str) -> None:
        """Enter a warning: the file has no value for a field that the entry can do without."""
        self.spare(name, f"lacks the key {name!r}", f"no {name}")

    def spare(self, name: str, what: str, cause: str = "") -> None:
        """Enter a warning: what is wrong with a field that the entry can do without."""
        *_, says = _readers(type(self))[name]
        self.warn(what, says.fix, cause or f"{name} cannot be read")

    def reject(self, what: str, fix: str, cause: str = "") -> None:
        """Enter a problem; the entry is not ok."""
        self.ok = False
        self.findings.reject(self.file, self.label, what, fix, cause)

    def warn(self, what: str, fix: str, cause: str) -> None:
        """Enter a warning: something beside what the entry needs is odd."""
        self.findings.warn(self.file, self.label, what, fix, cause)


@cache
def _readers(cls: type[Entry]) -> dict[str, tuple[TypeAdapter, object, Says]]:
    """Each field of an entry beside its place, with its type, its default, and what is said."""
    hints = get_type_hints(cls, include_extras=True)
    # pyrefly: ignore[missing-attribute] (pydantic adds it to its data classes)
    marks = {name: field.metadata for name, field in cls.__pydantic_fields__.items()}
    return {
        item.name: (
            TypeAdapter(hints[item.name], config=STRICT),
            item.default,
            next(mark for mark in marks[item.name] if isinstance(mark, Says)),
        )
        for item in fields(cls)
        if item.name not in PLACE
    }


@dataclass(slots=True, kw_only=True, config=STRICT)
class CategoryEntry(Entry):
    """A class."""

    id: Id
    name: Text


@dataclass(slots=True, kw_only=True, config=STRICT)
class ImageEntry(Entry):
    """An image.

    Attributes:
        file_name: its path relative to the image folder, as the file has it.
        width, height: in pixels; one that is None is taken from the image.
    """

    id: Id
    file_name: Text
    width: Side = None
    height: Side = None


@dataclass(slots=True, kw_only=True, config=STRICT)
class AnnotationEntry(Entry):
    """An object, or an ignore region.

    Attributes:
        id: one that is None or 0 gets a number.
        category_id: None for an ignore region of all classes.
        bbox: [x, y, width, height] in pixels from the image's upper left corner.
        area: in pixels; None computes it.
        iscrowd: it is an ignore region.
        segmentation: polygons or run lengths of COCO.
        difficult: it is not scored.
        ignore: it is neither an object nor background: an ignore region of all classes.
    """

    id: Annotated[_Id | None, Says("it gets a number", spare=True)] = None
    image_id: Id
    category_id: Annotated[_Id | None, _ID]
    bbox: Box
    area: Area = None
    iscrowd: Flag = False
    segmentation: Mask = None
    difficult: Annotated[
        bool, BeforeValidator(_flag), Says("it is taken for an ordinary object", spare=True)
    ] = False
    ignore: Flag = False
