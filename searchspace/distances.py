"""How far a paper's system is from its form in a space, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from searchspace.config import Config
from searchspace.domains import Domain, Fixed
from searchspace.fields import entries
from searchspace.space import Space
from searchspace.trial import TrialConfig


@dataclass(frozen=True)
class Distance:
    """One field of a system in a space.

    Attributes:
        published, ours: its value in the paper and in the space.
        domain: what the space has instead; None for a field that neither the space nor its own
            declaration gives values, which has its default or what the initial weights require.
        distance: on the scale of the domain; infinite for values that cannot be compared, such as
            two kinds.
    """

    path: str
    published: Any
    ours: Any
    domain: Domain | None
    distance: float

    def __str__(self) -> str:
        return f"{self.path}: {Fixed(self.published)} -> {Fixed(self.ours)}"


def distances(published: TrialConfig, space: Space) -> tuple[Distance, ...]:
    """Each field that a configuration and its nearest one in the space both have.

    Below a union whose kind differs, only the kinds are compared.

    Raises:
        pydantic.ValidationError: the nearest values are incompatible.
    """
    ours = space.nearest(published)
    return tuple(
        Distance(path, a, b, domain, (domain or Fixed(b)).apart(a, b))
        for path, a, b, domain in _pairs(published, ours, space.domains, "")
    )


def _pairs(
    published: Config, ours: Config, domains: Mapping[str, Domain], path: str
) -> Iterator[tuple[str, Any, Any, Domain | None]]:
    for entry in entries(type(ours), domains, path):
        a, b = (getattr(config, entry.name) for config in (published, ours))
        if entry.members:
            one = entry.member(a, dict(published)) or entry.member(
                a, dict(published), entry.members
            )
            two = entry.member(b, dict(ours))
            before, kind = (None if form is None else dict(form)["kind"] for form in (one, two))
            yield f"{entry.path}.kind", before, kind, entry.choice
            if one is not None and two is not None and before == kind:
                yield from _pairs(one, two, domains, f"{entry.path}.{kind}")
        elif entry.model:
            yield from _pairs(a, b, domains, entry.path)
        else:
            yield entry.path, a, b, entry.domain
