"""The base class of configurations: frozen values whose fields declare how they are searched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from searchspace.digests import sha256
from searchspace.domains import Domain
from searchspace.errors import InputError
from searchspace.words import joined

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A frozen value of the configuration tree; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def changed(self, **fields: Any) -> Self:
        """A copy with other values of some fields.

        Raises:
            pydantic.ValidationError: they are not valid with the other fields.
        """
        return type(self)(**{**dict(self), **fields})

    def in_words(self) -> str:
        """A short description for reports; empty if nothing is particular about it.

        By default its kind, and the fields that differ from their defaults: `attention (heads 4)`,
        so that reports work for any class.
        """
        kind = getattr(self, "kind", "").replace("_", " ")
        fields = (
            (name, getattr(self, name), info) for name, info in type(self).model_fields.items()
        )
        changed = joined(
            *(
                _field_in_words(name.replace("_", " "), value)
                for name, value, info in fields
                if name != "kind" and value != info.get_default(call_default_factory=True)
            )
        )
        return f"{kind} ({changed})" if kind and changed else kind or changed

    def cause(self, *without: str) -> dict[str, Any]:
        """This as JSON without some fields, as it enters the names of trials and of stages.

        Fields marked `Added` are left out at their defaults.
        """
        left_out = {**as_before(self), **dict.fromkeys(without, True)}
        return self.model_dump(mode="json", exclude=left_out)

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Drawn values, completed by those derived from them (`Follows`)."""
        return values

    def as_drawn(self, domains: Mapping[str, Domain]) -> Self:
        """The inverse of `completed`, except for values that a space names."""
        return self

    def read_as(self, cls: type[Config]) -> Config | None:
        """This as a configuration of another kind, which a space may have instead.

        It keeps the fields that both kinds declare alike; None if it has no equivalent.
        """
        shared = [
            name
            for name, info in cls.model_fields.items()
            if name != "kind" and repr(type(self).model_fields.get(name)) == repr(info)
        ]
        return cls(**{name: getattr(self, name) for name in shared})

    def unlike(self, other: Config) -> float:
        """How different another kind is: the number of differing fields."""
        fields = [name for name in type(self).model_fields if name != "kind"]
        return sum(getattr(self, name) != getattr(other, name, ...) for name in fields)


def _field_in_words(name: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {_value_in_words(value)}"


def _value_in_words(value: Any) -> str:
    if isinstance(value, Config):
        return value.in_words() or "as usual"
    if isinstance(value, tuple):
        return "+".join(map(_value_in_words, value)) or "none"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def own_code(config: BaseModel) -> dict[str, str]:
    """By module of users that defines a class of a configuration, the SHA-256 of its file.

    What is made of a configuration depends on that code as well; it is empty for what ships here.
    """
    package, modules = __name__.partition(".")[0], set()
    left: list[object] = [config]
    while left:
        value = left.pop()
        if isinstance(value, BaseModel):
            modules.add(type(value).__module__)
            left += [part for _, part in value]
        elif isinstance(value, tuple):
            left += value
    files = {
        name: getattr(sys.modules.get(name), "__file__", None)
        for name in modules
        if name.partition(".")[0] != package
    }
    return {name: sha256(Path(file)) if file else "" for name, file in sorted(files.items())}


@dataclass(frozen=True)
class Added:
    """Marks a field that configurations of an earlier version do not have.

    Its default means what was meant before, and is left out of all that names a configuration or a
    stage: so what was computed before is still found.
    """


def as_before(config: BaseModel) -> dict[str, Any]:
    """The fields marked `Added` that have their defaults, in the form of pydantic's `exclude`."""
    found: dict[str, Any] = {}
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        added = any(isinstance(mark, Added) for mark in info.metadata)
        if added and value == info.get_default(call_default_factory=True):
            found[name] = True
        elif below := _below(value):
            found[name] = below
    return found


def _below(value: object) -> dict[Any, Any]:
    if isinstance(value, BaseModel):
        return as_before(value)
    if isinstance(value, tuple):
        return {index: below for index, part in enumerate(value) if (below := _below(part))}
    return {}


class OutsideSpace(InputError):
    """A configuration, or a part of one, that is not in the space."""


@dataclass(frozen=True)
class Follows:
    """Marks a field that is not drawn: `completed` of its configuration or of an owner sets it.

    Attributes:
        nameable: whether a space may name it nevertheless. The `completed` of its own configuration
            sets it if it is missing among the drawn values.
    """

    nameable: bool = False


@dataclass(frozen=True)
class Through:
    """Marks a field that is drawn, and read back, through one of several models (forms).

    Attributes:
        forms: the models, distinguished by `kind`; if two can read a value, the first does.
        build: makes the field's value from a form, given the owner's preceding fields.
        read: the inverse: the form of a given class for a value, or None; valid only if `build`
            makes the same value from it.
    """

    forms: Iterable[type[Config]]
    build: Callable[[Any, Mapping[str, Any]], Any]
    read: Callable[[type[Config], Any, Mapping[str, Any]], Config | None]
