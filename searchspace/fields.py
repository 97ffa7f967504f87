"""The fields of configurations that may be searched, one by one, with their paths and domains."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from searchspace.config import Config, Follows, Through
from searchspace.domains import Choice, Domain, Fixed, FloatRange, IntRange, options
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
        follows = marked(info, Follows)
        if follows and not (follows.nameable and here in domains):
            continue
        if members:
            kinds = domains.get(f"{here}.kind") or _default_kinds(info, members)
            through = marked(info, Through)
            yield Entry(here, name, default, domain=kinds, members=members, through=through)
        elif isinstance(info.annotation, type) and issubclass(info.annotation, Config):
            yield Entry(here, name, default, model=info.annotation)
        elif name != "kind":
            yield Entry(here, name, default, domain=domains.get(here) or _own_domain(info))


def paths(cls: type[Config], path: str = "") -> Iterator[str]:
    """Every path of `cls` that a space may narrow, through all members of its unions."""
    for name, info in cls.model_fields.items():
        if (follows := marked(info, Follows)) and follows.nameable:
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


def field_type(cls: type[Config], path: str) -> Any:
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


def _members(info: FieldInfo) -> dict[str, type[Config]]:
    """The members of a registry, of the forms that a field is drawn `Through`, or of a union.

    A single model with a `kind` is a union of one.
    """
    if registry := marked(info, Registry):
        return dict(registry.by_kind)
    if through := marked(info, Through):
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
    return marked(info, Choice | IntRange | FloatRange | Fixed)


def marked(info: FieldInfo, kind: Any) -> Any:
    """The first of a field's annotations of a given class; None without one."""
    return next((mark for mark in info.metadata if isinstance(mark, kind)), None)
