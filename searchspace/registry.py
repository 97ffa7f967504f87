"""Registries: the classes of configurations that a field may hold, distinguished by their `kind`.

A field whose members others may add to is annotated with a registry instead of a union::

    NECK_STEPS = Registry[NeckStep]("neck step")
    Step = Annotated[NeckStep, NECK_STEPS]

Members are looked up when a value is validated, drawn or described, so a class can be used as soon
as it is registered, from any module::

    @NECK_STEPS.register
    class Attention(NeckStep):
        kind: Literal["attention"] = "attention"
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

from pydantic import Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from searchspace.config import Config
from searchspace.errors import InputError
from searchspace.names import check_implemented

K = TypeVar("K", bound=Config)
M = TypeVar("M", bound=Config)


class Registry(Generic[K]):
    """The classes of one extension point, in the order in which they were registered.

    As an annotation of a field, it validates and serialises like a pydantic union of its members
    with the discriminator `kind`.

    Attributes:
        what: the name of a member in messages: `neck step`.
    """

    def __init__(self, what: str, *members: type[K], last: type[K] | None = None) -> None:
        """Args:
        members: the built-in ones.
        last: a member that stays after all others, those registered later included.
        """
        self.what = what
        self._last = last
        self._members: dict[str, type[K]] = {}
        self._adapter: TypeAdapter[K] | None = None
        for member in (*members, *((last,) if last else ())):
            self.register(member)

    def register(self, member: type[M]) -> type[M]:
        """Add a class; usable as a decorator.

        Raises:
            TypeError: the class is not a configuration with a kind, or lacks a method of the
                contract.
            InputError: another class has this kind.
        """
        kind = _kind_of(member, self.what)
        known = self._members.get(kind)
        if known is not None and _path(known) != _path(member):
            raise InputError(
                f"{self.what} {kind!r} of {_path(member)}: {_path(known)} has this kind already; "
                "choose another one"
            )
        check_implemented(f"{self.what} {_path(member)}", member)
        self._members[kind] = cast("type[K]", member)  # typed as itself, for use as a decorator
        self._adapter = None
        return member

    @property
    def by_kind(self) -> Mapping[str, type[K]]:
        """The members by their kinds."""
        return dict(sorted(self._members.items(), key=lambda item: item[1] is self._last))

    def __iter__(self) -> Iterator[type[K]]:
        return iter(self.by_kind.values())

    def __repr__(self) -> str:
        return f"Registry({self.what!r})"

    @property
    def adapter(self) -> TypeAdapter[K]:
        """Validates a value as the member named by its `kind`."""
        if self._adapter is None:
            union = functools.reduce(operator.or_, self)
            alone = len(self._members) == 1
            self._adapter = TypeAdapter(union if alone else Annotated[union, Discriminator("kind")])
        return self._adapter

    def _validated(self, value: Any) -> K:
        if isinstance(value, Config) and type(value) not in self._members.values():
            raise ValueError(
                f"{type(value).__name__} is not a registered {self.what}: registered are "
                f"{', '.join(self._members)}; import the module that registers it"
            )
        return self.adapter.validate_python(value)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validated,
            serialization=core_schema.simple_ser_schema("any"),
            metadata={"pydantic_js_functions": [self._json_schema]},
        )

    def _json_schema(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.adapter.core_schema)


def _kind_of(member: Any, what: str) -> str:
    """The kind of a class."""
    field = member.model_fields.get("kind") if _is_config(member) else None
    if field is None or get_origin(field.annotation) is not Literal:
        name = getattr(member, "__name__", repr(member))
        raise TypeError(
            f"{what} {name}: it must be a configuration class with a field "
            f'kind: Literal["{name.lower()}"] = "{name.lower()}"'
        )
    [kind] = get_args(field.annotation)
    if field.default != kind:
        raise TypeError(f"{what} {_path(member)}: the default of its field kind must be {kind!r}")
    return kind


def _is_config(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, Config)


def _path(member: type) -> str:
    return f"{member.__module__}.{member.__qualname__}"
