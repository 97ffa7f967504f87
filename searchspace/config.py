"""What a configuration is: a frozen value whose fields say how they may be searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from searchspace.domains import Domain
from searchspace.errors import InputError
from searchspace.words import joined

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A frozen value of the configuration tree; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def changed(self, **fields: Any) -> Self:
        """The same with other values of some fields.

        Raises:
            pydantic.ValidationError: they do not go together with the rest.
        """
        return type(self)(**{**dict(self), **fields})

    def in_words(self) -> str:
        """What is particular about this, as reports say it; empty where nothing is.

        By default its kind, and the fields with another value than their default: `attention
        (heads 4)`. Reports cannot fail on a class that says no more about itself.
        """
        kind = getattr(self, "kind", "").replace("_", " ")
        changed = joined(
            *(
                _field_in_words(name.replace("_", " "), getattr(self, name))
                for name, info in type(self).model_fields.items()
                if name != "kind" and getattr(self, name) != info.get_default()
            )
        )
        return f"{kind} ({changed})" if kind and changed else kind or changed

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Drawn values with those that follow from them (`Follows`)."""
        return values

    def as_drawn(self, domains: Mapping[str, Domain]) -> Self:
        """This as it was before `completed`, as far as a space does not name what that sets."""
        return self

    def read_as(self, cls: type[Config]) -> Config | None:
        """This as a configuration of another kind, which a space may have in its place.

        It keeps the fields that both kinds declare alike; None where it has no such form.
        """
        shared = [
            name
            for name, info in cls.model_fields.items()
            if name != "kind" and repr(type(self).model_fields.get(name)) == repr(info)
        ]
        return cls(**{name: getattr(self, name) for name in shared})

    def unlike(self, other: Config) -> float:
        """How much of this another kind does not have: the fields in which they differ."""
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


class OutsideSpace(InputError):
    """A configuration, or a piece of one, that the space does not hold."""


@dataclass(frozen=True)
class Follows:
    """Marks a field that nobody draws: the owner's `completed` sets it."""


@dataclass(frozen=True)
class Through:
    """Marks a field that is drawn, and read back, by way of one of several models.

    Attributes:
        forms: the models, told apart by `kind`; of two that could read a value, the first does.
        build: makes the field's value of a form, given the owner's fields that come before it.
        read: the inverse: the form of a class that a value has, or None; exact only where `build`
            makes the value of it again.
    """

    forms: Iterable[type[Config]]
    build: Callable[[Any, Mapping[str, Any]], Any]
    read: Callable[[type[Config], Any, Mapping[str, Any]], Config | None]
