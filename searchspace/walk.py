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

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from searchspace.config import C, Config, Follows, OutsideSpace
from searchspace.domains import (
    Choice,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    OptunaTrial,
    is_number,
)
from searchspace.fields import Entry, entries, field_type, marked


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


def parse_domain(cls: type[Config], path: str, spec: Any) -> Domain:
    """A domain from its TOML form: `{choice = [...]}`, `{low, high, log, step}`, or a fixed value.

    Raises:
        ValueError: the form is not one of these, or a value does not fit the field's type.
    """
    adapt = TypeAdapter(field_type(cls, path)).validate_python
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
        follows, value = marked(info, Follows), getattr(config, name)
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
