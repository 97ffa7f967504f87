"""Search domains as field annotations, and the walks between configurations and parameters.

A field that may be searched says so where it is declared::

    width: Annotated[float, Choice(0.25, 0.5, 1.0)] = 1.0

One walk over the fields draws a configuration from an Optuna trial (`suggest`), one walks it back
(`to_params`). A union of models distinguished by `kind` is itself a choice, and its members' fields
are conditional on it; the kind is part of their path, because Optuna rejects a parameter whose
options change under one name. A field whose value cannot be drawn directly, such as a list, names
models that it is drawn `Through`.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from searchspace.config import C, Config, Follows, OutsideSpace, Through
from searchspace.domains import (
    Choice,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    OptunaTrial,
    is_number,
    options,
)
from searchspace.registry import Registry


@dataclass(frozen=True)
class Entry:
    """One field in the walk: `members` for a union, else `domain` if it is searched.

    Attributes:
        default: the owner's default.
        model: the class of a nested configuration.
        members: the classes of a union by kind, `domain` being that of the kind.
    """

    path: str
    name: str
    default: Any
    domain: Domain | None = None
    model: type[Config] | None = None
    members: Mapping[str, type[Config]] = field(default_factory=dict)
    through: Through | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of a union that can be drawn."""
        return options(self.choice)

    @property
    def choice(self) -> Choice | Fixed:
        """The domain of a union's kind; raises TypeError for other fields."""
        if isinstance(self.domain, Choice | Fixed):
            return self.domain
        raise TypeError(f"{self.path} is not a choice of kinds")

    def member(
        self, value: Any, owner: Mapping[str, Any], kinds: Iterable[str] | None = None
    ) -> Config | None:
        """The member of the union that corresponds to a field's value; None if there is none.

        Args:
            kinds: the kinds to consider; by default those that can be drawn.
        """
        if self.through is None:
            return value
        for kind in self.kinds if kinds is None else kinds:
            form = self.through.read(self.members[kind], value, owner)
            if form is not None and self.value(form, owner) == value:
                return form
        return None

    def start(self, kind: str | None = None) -> Config | None:
        """The owner's default, which provides the defaults of nested fields; None for the class's.

        Args:
            kind: the kind of a union's member.
        """
        cls = self.model if kind is None else self.members[kind]
        return self.default if type(self.default) is cls else None

    def value(self, member: Config, owner: Mapping[str, Any]) -> Any:
        """The field's value that corresponds to a member of the union."""
        return member if self.through is None else self.through.build(member, owner)


def suggest(trial: OptunaTrial, cls: type[C], domains: Mapping[str, Domain] | None = None) -> C:
    """Draw a configuration of `cls` from an Optuna trial.

    Args:
        trial: anything with Optuna's `suggest_*` methods.
        cls: the configuration to draw.
        domains: path -> domain, replacing the field's own (from a space).

    Raises:
        pydantic.ValidationError: the drawn values are incompatible.
    """
    return _draw(trial, cls, None, domains or {}, "")


def to_params(config: Config, domains: Mapping[str, Domain] | None = None) -> dict[str, Any]:
    """The parameters with which `suggest` would draw `config`.

    Raises:
        OutsideSpace: a field has a value that cannot be drawn; the message names its path.
    """
    params: dict[str, Any] = {}
    domains = domains or {}
    _collect(config.as_drawn(domains), None, domains, "", params)
    return params


def project(config: C, domains: Mapping[str, Domain]) -> C:
    """`config` moved into the space: every field takes the nearest value that can be drawn.

    A union whose kind cannot be drawn becomes the kind that is least `unlike` it.

    Raises:
        pydantic.ValidationError: the nearest values are incompatible.
    """
    return _project(config.as_drawn(domains), None, domains, "")


def entries(
    cls: type[Config], domains: Mapping[str, Domain], path: str, owner: Config | None = None
) -> Iterator[Entry]:
    """The fields of `cls` in order of declaration, with their domains.

    Args:
        owner: provides the fields' defaults, if they are not those of the class: the default of a
            nested configuration is set by its owner.
    """
    for name, info in cls.model_fields.items():
        here = f"{path}.{name}" if path else name
        default = (
            info.get_default(call_default_factory=True) if owner is None else getattr(owner, name)
        )
        members = _members(info)
        follows = _marked(info, Follows)
        if follows and not (follows.nameable and here in domains):
            continue
        if members:
            kinds = domains.get(f"{here}.kind") or _default_kinds(info, members)
            through = _marked(info, Through)
            yield Entry(here, name, default, domain=kinds, members=members, through=through)
        elif isinstance(info.annotation, type) and issubclass(info.annotation, Config):
            yield Entry(here, name, default, model=info.annotation)
        elif name != "kind":
            yield Entry(here, name, default, domain=domains.get(here) or _own_domain(info))


def parse_domain(cls: type[Config], path: str, spec: Any) -> Domain:
    """A domain from its TOML form: `{choice = [...]}`, `{low, high, log, step}`, or a fixed value.

    Raises:
        ValueError: the form is not one of these, or a value does not fit the field's type.
    """
    adapt = TypeAdapter(_field_type(cls, path)).validate_python
    if not isinstance(spec, dict):
        return Fixed(adapt(spec))
    match spec:
        case {"choice": list(given), **rest} if not rest:
            return Choice(*(adapt(option) for option in given))
        case {"low": low, "high": high, **rest} if rest.keys() <= {"log", "step"}:
            low, high = adapt(low), adapt(high)
            if not (is_number(low) and is_number(high)):
                raise ValueError("the field is not numeric and has no range; give {choice = [...]}")
            if isinstance(low, int):
                return IntRange(low, high, **rest)
            return FloatRange(low, high, **rest)
    raise ValueError("give a value, {choice = [...]} or {low = ..., high = ...}")


def paths(cls: type[Config], path: str = "") -> Iterator[str]:
    """Every path of `cls` that a space may narrow, through all members of its unions."""
    for name, info in cls.model_fields.items():
        if (follows := _marked(info, Follows)) and follows.nameable:
            yield f"{path}.{name}" if path else name
    for entry in entries(cls, {}, path):
        if entry.members:
            yield f"{entry.path}.kind"
            for kind, member in entry.members.items():
                yield from paths(member, f"{entry.path}.{kind}")
        elif entry.model:
            yield from paths(entry.model, entry.path)
        else:
            yield entry.path


def field_names(cls: type[Config]) -> tuple[str, ...]:
    """Every path of `cls`, and all their parent paths."""
    parts = [path.split(".") for path in paths(cls)]
    whole = (".".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1))
    return tuple(dict.fromkeys(whole))


def _draw(
    trial: OptunaTrial, cls: type[C], owner: C | None, domains: Mapping[str, Domain], path: str
) -> C:
    values: dict[str, Any] = {}
    for entry in entries(cls, domains, path, owner):
        if entry.members:
            kind = entry.choice.suggest(trial, f"{entry.path}.kind")
            below = f"{entry.path}.{kind}"
            member = _draw(trial, entry.members[kind], entry.start(kind), domains, below)
            values[entry.name] = entry.value(member, values)
        elif entry.model:
            values[entry.name] = _draw(trial, entry.model, entry.start(), domains, entry.path)
        else:
            found = entry.domain.suggest(trial, entry.path) if entry.domain else entry.default
            values[entry.name] = found
    return cls(**cls.completed(values))


def _project(config: C, owner: C | None, domains: Mapping[str, Domain], path: str) -> C:
    values: dict[str, Any] = {}
    for entry in entries(type(config), domains, path, owner):
        value = getattr(config, entry.name)
        if entry.members:
            member = _nearest_member(entry, value, dict(config), domains)
            values[entry.name] = entry.value(member, values)
        elif entry.model:
            values[entry.name] = _project(value, entry.start(), domains, entry.path)
        else:
            values[entry.name] = entry.domain.nearest(value) if entry.domain else entry.default
    return type(config)(**config.completed(values))


def _nearest_member(
    entry: Entry, value: Any, owner: Mapping[str, Any], domains: Mapping[str, Domain]
) -> Config:
    """The drawable member of a union that is nearest to a field's value."""

    def moved(kind: str, form: Config | None) -> Config:
        start = entry.start(kind)
        form = form or start or entry.members[kind]()
        return _project(form, start, domains, f"{entry.path}.{kind}")

    member = entry.member(value, owner) or entry.member(value, owner, entry.members)
    if member is None:
        return moved(entry.kinds[0], None)
    if (own := _kind(member)) in entry.kinds:
        return moved(own, member)
    forms = [(kind, member.read_as(entry.members[kind])) for kind in entry.kinds]
    there = [(kind, form) for kind, form in forms if form is not None] or forms[:1]
    return min((moved(kind, form) for kind, form in there), key=member.unlike)


def _collect(
    config: Config,
    owner: Config | None,
    domains: Mapping[str, Domain],
    path: str,
    params: dict[str, Any],
) -> None:
    _check_following(config, domains, path)
    for entry in entries(type(config), domains, path, owner):
        value = getattr(config, entry.name)
        if entry.members:
            member = entry.member(value, dict(config))
            if member is None:
                raise OutsideSpace(
                    f"{entry.path}: {value!r} is not one of the kinds {', '.join(entry.kinds)}"
                )
            kind = _kind(member)
            _record(entry.choice, f"{entry.path}.kind", kind, params)
            _collect(member, entry.start(kind), domains, f"{entry.path}.{kind}", params)
        elif entry.model:
            _collect(value, entry.start(), domains, entry.path, params)
        elif entry.domain:
            _record(entry.domain, entry.path, value, params)
        elif value != entry.default:
            raise OutsideSpace(
                f"{entry.path} = {value!r} is not searched; its fixed value is {entry.default!r}"
            )


def _check_following(config: Config, domains: Mapping[str, Domain], path: str) -> None:
    """Raise `OutsideSpace` if a field is neither at its default nor as it follows from others."""
    for name, info in type(config).model_fields.items():
        follows, value = _marked(info, Follows), getattr(config, name)
        here = f"{path}.{name}" if path else name
        if not (follows and follows.nameable) or here in domains:
            continue
        others = {field: value for field, value in config if field != name}
        drawn = config.completed(others)[name]
        if value not in (info.default, drawn):
            raise OutsideSpace(f"{here} = {value!r} is not searched; here it would be {drawn!r}")


def _record(domain: Domain, path: str, value: Any, params: dict[str, Any]) -> None:
    try:
        param = domain.param(value)
    except ValueError as error:
        raise OutsideSpace(f"{path}: {error}") from None
    if not isinstance(domain, Fixed):
        params[path] = param


def _kind(member: Config) -> str:
    """The kind of a union's member."""
    return dict(member)["kind"]


def _members(info: FieldInfo) -> dict[str, type[Config]]:
    """The members of a registry, of the forms that a field is drawn `Through`, or of a union.

    A single model with a `kind` is a union of one.
    """
    if registry := _marked(info, Registry):
        return dict(registry.by_kind)
    if through := _marked(info, Through):
        return {form.model_fields["kind"].default: form for form in through.forms}
    annotation = info.annotation
    is_union = get_origin(annotation) in (Union, types.UnionType)
    candidates = get_args(annotation) if is_union else (annotation,)
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, Config)]
    if len(models) != len(candidates) or any("kind" not in m.model_fields for m in models):
        return {}
    return {model.model_fields["kind"].default: model for model in models}


def _default_kinds(info: FieldInfo, members: Mapping[str, type[Config]]) -> Domain:
    own = _own_domain(info)
    if own is not None:
        return own
    return Choice(*members) if len(members) > 1 else Fixed(next(iter(members)))


def _own_domain(info: FieldInfo) -> Domain | None:
    return _marked(info, Choice | IntRange | FloatRange | Fixed)


def _marked(info: FieldInfo, kind: Any) -> Any:
    """The first of a field's annotations of a given class; None without one."""
    return next((mark for mark in info.metadata if isinstance(mark, kind)), None)


def _field_type(cls: type[Config], path: str) -> Any:
    """The type of the field at `path`, for pydantic's `TypeAdapter`."""
    owner = cls
    names = path.split(".")
    while names:
        info = owner.model_fields[names.pop(0)]
        members = _members(info)
        if members and names == ["kind"]:
            # pyrefly: ignore[invalid-literal] (which kinds there are is known at run time only)
            return Literal[tuple(members)]
        if members:
            owner = members[names.pop(0)]
        elif not names:
            # pyrefly: ignore[not-a-type] (the type of a field is known at run time only)
            return Annotated[info.annotation, info]
        elif isinstance(info.annotation, type) and issubclass(info.annotation, Config):
            owner = info.annotation
        else:
            break
    raise KeyError(path)
