"""Search domains as field annotations, and the walks between configurations and parameters.

A field that may be searched says so where it is declared::

    width: Annotated[float, Choice(0.25, 0.5, 1.0)] = 1.0

One walk over the fields draws a configuration from an Optuna trial (`suggest`), one walks it back
(`to_params`). A union of models told apart by `kind` is a choice of its own, and its members'
fields exist only under it; the kind is part of their path, because Optuna refuses a parameter whose
options change under one name.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo


class Config(BaseModel):
    """A frozen value of the configuration tree; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OptunaTrial(Protocol):
    """What the walk needs of `optuna.Trial` (also met by `optuna.trial.FixedTrial`)."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...


class OutsideSpace(ValueError):
    """A configuration, or a piece of one, that the space does not hold."""


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values. Optuna is shown sequences as JSON text, which storages can keep."""

    options: tuple[Any, ...]

    def __init__(self, *options: Any) -> None:
        if not options:
            raise ValueError("a Choice needs at least one option")
        object.__setattr__(self, "options", options)

    def suggest(self, trial: OptunaTrial, path: str) -> Any:
        values = {_shown(option): option for option in self.options}
        return values[trial.suggest_categorical(path, list(values))]

    def param(self, value: Any) -> Any:
        if not any(_same(value, option) for option in self.options):
            raise ValueError(f"{value!r} is none of {list(self.options)}")
        return _shown(value)

    def nearest(self, value: Any) -> Any:
        """The option equal to `value`, else the closest number, else the first option."""
        if any(_same(value, option) for option in self.options):
            return value
        numbers = [option for option in self.options if _is_number(option)]
        if _is_number(value) and numbers:
            return min(numbers, key=lambda option: abs(option - value))
        return self.options[0]

    def size(self) -> float:
        return len(self.options)

    def __str__(self) -> str:
        return "{" + ", ".join(str(_shown(option)) for option in self.options) + "}"


@dataclass(frozen=True)
class IntRange:
    """An integer between `low` and `high`, both included."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        stepped = self.step >= 1 and (self.step == 1 or not self.log)
        low_enough = self.low >= 1 if self.log else True
        ordered = stepped and low_enough and self.low <= self.high
        if not ordered or (self.high - self.low) % self.step:
            raise ValueError(f"not a range of integers: {self}")

    def suggest(self, trial: OptunaTrial, path: str) -> int:
        return trial.suggest_int(path, self.low, self.high, step=self.step, log=self.log)

    def param(self, value: Any) -> int:
        if (
            not (_is_number(value) and self.low <= value <= self.high)
            or (value - self.low) % self.step
        ):
            raise ValueError(f"{value!r} is not in {self}")
        return int(value)

    def nearest(self, value: Any) -> int:
        steps = round((min(max(value, self.low), self.high) - self.low) / self.step)
        return self.low + steps * self.step

    def size(self) -> float:
        return (self.high - self.low) // self.step + 1

    def __str__(self) -> str:
        return f"{self.low}..{self.high}" + (f" step {self.step}" if self.step > 1 else "")


@dataclass(frozen=True)
class FloatRange:
    """A real number between `low` and `high`, both included; on a logarithmic scale with `log`."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not (finite and self.low <= self.high) or (self.log and self.low <= 0):
            raise ValueError(f"not a range of numbers: {self}")

    def suggest(self, trial: OptunaTrial, path: str) -> float:
        return trial.suggest_float(path, self.low, self.high, log=self.log)

    def param(self, value: Any) -> float:
        if not (_is_number(value) and self.low <= value <= self.high):
            raise ValueError(f"{value!r} is not in {self}")
        return float(value)

    def nearest(self, value: Any) -> float:
        return float(min(max(value, self.low), self.high))

    def size(self) -> float:
        return 1 if self.low == self.high else math.inf

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}" + (" log" if self.log else "")


@dataclass(frozen=True)
class Fixed:
    """A value that is not searched (any more)."""

    value: Any

    def suggest(self, trial: OptunaTrial, path: str) -> Any:
        return self.value

    def param(self, value: Any) -> None:
        if not _same(value, self.value):
            raise ValueError(f"{value!r} is not {self.value!r}, the only value here")

    def nearest(self, value: Any) -> Any:
        return self.value

    def size(self) -> float:
        return 1

    def __str__(self) -> str:
        return str(_shown(self.value))


Domain = Choice | IntRange | FloatRange | Fixed
C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Entry:
    """One field as the walk meets it: `members` for a union, else `domain` if it is searched."""

    path: str
    name: str
    default: Any
    domain: Domain | None = None
    model: type[Config] | None = None
    members: Mapping[str, type[Config]] = field(default_factory=dict)


def suggest(trial: OptunaTrial, cls: type[C], domains: Mapping[str, Domain] | None = None) -> C:
    """Draw a configuration of `cls` from an Optuna trial.

    Args:
        trial: anything with Optuna's `suggest_*` methods.
        cls: the configuration to draw.
        domains: path -> domain, taking the place of the field's own (a space's narrowing).

    Raises:
        pydantic.ValidationError: the drawn fields do not go together.
    """
    return _draw(trial, cls, domains or {}, "")


def to_params(config: Config, domains: Mapping[str, Domain] | None = None) -> dict[str, Any]:
    """The parameters with which `suggest` would draw `config`.

    Raises:
        OutsideSpace: a field has a value that no parameters could draw; the message names its path.
    """
    params: dict[str, Any] = {}
    _collect(config, domains or {}, "", params)
    return params


def project(config: C, domains: Mapping[str, Domain], path: str = "") -> C:
    """`config` moved into the space: every field takes the nearest value that may be drawn."""
    values: dict[str, Any] = {}
    for entry in entries(type(config), domains, path):
        value = getattr(config, entry.name)
        if entry.members:
            kind = entry.domain.nearest(value.kind)
            member = value if kind == value.kind else entry.members[kind]()
            values[entry.name] = project(member, domains, f"{entry.path}.{kind}")
        elif entry.model:
            values[entry.name] = project(value, domains, entry.path)
        else:
            values[entry.name] = entry.domain.nearest(value) if entry.domain else entry.default
    return type(config)(**values)


def entries(cls: type[Config], domains: Mapping[str, Domain], path: str) -> Iterator[Entry]:
    """The fields of `cls` in their order of declaration, with what may be drawn for each."""
    for name, info in cls.model_fields.items():
        here = f"{path}.{name}" if path else name
        default = info.get_default(call_default_factory=True)
        members = _members(info)
        if members:
            kinds = domains.get(f"{here}.kind") or _default_kinds(info, members)
            yield Entry(here, name, default, domain=kinds, members=members)
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
        case {"choice": list(options), **rest} if not rest:
            return Choice(*(adapt(option) for option in options))
        case {"low": low, "high": high, **rest} if rest.keys() <= {"log", "step"}:
            low, high = adapt(low), adapt(high)
            if not (_is_number(low) and _is_number(high)):
                raise ValueError(f"{path} is no number and has no range: give {{choice = [...]}}")
            if isinstance(low, int):
                return IntRange(low, high, **rest)
            return FloatRange(low, high, **rest)
    raise ValueError(
        f"{path} = {spec!r}: give a value, {{choice = [...]}} or {{low = ..., high = ...}}"
    )


def dump_domain(domain: Domain) -> Any:
    """The TOML form of a domain, as `parse_domain` takes it."""
    match domain:
        case Choice(options):
            return {"choice": [_plain(option) for option in options]}
        case IntRange(low, high, step, log):
            return {"low": low, "high": high, "step": step, "log": log}
        case FloatRange(low, high, log):
            return {"low": low, "high": high, "log": log}
        case Fixed(value):
            return _plain(value)


def paths(cls: type[Config], path: str = "") -> Iterator[str]:
    """Every path of `cls` that a space may narrow, through all members of its unions."""
    for entry in entries(cls, {}, path):
        if entry.members:
            yield f"{entry.path}.kind"
            for kind, member in entry.members.items():
                yield from paths(member, f"{entry.path}.{kind}")
        elif entry.model:
            yield from paths(entry.model, entry.path)
        else:
            yield entry.path


def _draw(trial: OptunaTrial, cls: type[C], domains: Mapping[str, Domain], path: str) -> C:
    values: dict[str, Any] = {}
    for entry in entries(cls, domains, path):
        if entry.members:
            kind = entry.domain.suggest(trial, f"{entry.path}.kind")
            values[entry.name] = _draw(trial, entry.members[kind], domains, f"{entry.path}.{kind}")
        elif entry.model:
            values[entry.name] = _draw(trial, entry.model, domains, entry.path)
        elif entry.domain:
            values[entry.name] = entry.domain.suggest(trial, entry.path)
    return cls(**values)


def _collect(
    config: Config, domains: Mapping[str, Domain], path: str, params: dict[str, Any]
) -> None:
    for entry in entries(type(config), domains, path):
        value = getattr(config, entry.name)
        if entry.members:
            _record(entry, f"{entry.path}.kind", value.kind, params)
            _collect(value, domains, f"{entry.path}.{value.kind}", params)
        elif entry.model:
            _collect(value, domains, entry.path, params)
        elif entry.domain:
            _record(entry, entry.path, value, params)
        elif value != entry.default:
            raise OutsideSpace(
                f"{entry.path} = {value!r} is not searched; its fixed value is {entry.default!r}"
            )


def _record(entry: Entry, path: str, value: Any, params: dict[str, Any]) -> None:
    try:
        param = entry.domain.param(value)
    except ValueError as error:
        raise OutsideSpace(f"{path}: {error}") from None
    if not isinstance(entry.domain, Fixed):
        params[path] = param


def _members(info: FieldInfo) -> dict[str, type[Config]]:
    """The models of a union told apart by `kind`; a single model with a `kind` counts as one."""
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
    domains = [m for m in info.metadata if isinstance(m, Choice | IntRange | FloatRange | Fixed)]
    return domains[0] if domains else None


def _field_type(cls: type[Config], path: str) -> Any:
    """The type of the field at `path`, as pydantic's `TypeAdapter` takes it."""
    owner = cls
    names = path.split(".")
    while names:
        info = owner.model_fields[names.pop(0)]
        members = _members(info)
        if members and names == ["kind"]:
            return Literal[tuple(members)]
        if members:
            owner = members[names.pop(0)]
        elif names:
            owner = info.annotation
        else:
            return Annotated[info.annotation, info]
    raise KeyError(path)


def _shown(value: Any) -> Any:
    """How a value is shown to Optuna: numbers, text and booleans as they are, the rest as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _same(a: Any, b: Any) -> bool:
    return (type(a) is type(b) and a == b) or (_is_number(a) and _is_number(b) and a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
