"""`Space`: `TrialConfig`'s own domains, narrowed, fixed or widened path by path."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from searchspace.config import Config, OutsideSpace
from searchspace.domains import Domain, Fixed, OptunaTrial, dump_domain
from searchspace.fields import entries
from searchspace.initial_weights import one_whatever_the_start
from searchspace.papers import papers
from searchspace.trial import TrialConfig
from searchspace.walk import parse_domain, project, suggest, to_params

STOCK = "ssdmnetv1"
"""The paper's system that is the baseline of every search."""


@dataclass(frozen=True)
class Space:
    """The domains of a search: `TrialConfig`'s own, narrowed, fixed or widened path by path."""

    name: str
    domains: Mapping[str, Domain]

    def suggest(self, trial: OptunaTrial) -> TrialConfig:
        return suggest(trial, TrialConfig, self.domains)

    def to_params(self, config: TrialConfig) -> dict[str, Any]:
        """The parameters that draw `config`; raises `OutsideSpace` if it is not in the space."""
        return to_params(config, self.domains)

    def holds(self, config: TrialConfig) -> bool:
        try:
            self.to_params(config)
        except OutsideSpace:
            return False
        return True

    def baseline(self) -> TrialConfig:
        """The unpruned stock SSD-MobileNetV1, as close to the paper's as the space allows."""
        return self.nearest(papers[STOCK].trial)

    def nearest(self, config: TrialConfig) -> TrialConfig:
        """`config` moved into the space, field by field.

        Raises:
            pydantic.ValidationError: the nearest values are incompatible.
        """
        return project(config, self.domains)

    def papers(self) -> dict[str, TrialConfig]:
        """The papers' systems that this space can express, each moved to its sizes.

        Backbone and neck are the paper's, except for an activation that initial weights require;
        width, input size, priors and recipe are the nearest in the space. Systems that become equal
        are listed once, and so is one that a paper leaves open to several readings.
        """
        return {names[0]: config for config, names in self.systems().items()}

    def systems(self) -> dict[TrialConfig, tuple[str, ...]]:
        """The same configurations, each with the names of all systems that become it."""
        found: dict[TrialConfig, tuple[str, ...]] = {}
        read: set[str] = set()
        for name, system in papers.items():
            reading_of = system.reading_of or name
            if reading_of in read:
                continue
            try:
                config = self.nearest(system.trial)
            except ValidationError:
                continue  # the space has only parts of it, which are incompatible by themselves
            ours, theirs = map(one_whatever_the_start, (config.detector, system.trial.detector))
            if (ours.backbone, ours.neck) == (theirs.backbone, theirs.neck):
                found[config] = (*found.get(config, ()), name)
                read.add(reading_of)
        return found

    def needs(self, config: TrialConfig) -> Mapping[str, TrialConfig]:
        """By name, the trials of this space whose detectors a trial needs."""
        return {}

    def fix(self, path: str, value: Any) -> Space:
        """The same space with one field fixed, e.g. the number of classes of a data set."""
        domain = parse_domain(TrialConfig, path, value)
        return Space(self.name, {**self.domains, path: domain})

    def dump(self) -> dict[str, Any]:
        """The space as JSON-ready data, which `Space.restore` reads back."""
        return {"name": self.name, "domains": {p: dump_domain(d) for p, d in self.domains.items()}}

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> Space:
        specs = dumped["domains"]
        return cls(dumped["name"], {p: parse_domain(TrialConfig, p, s) for p, s in specs.items()})

    def searched(self) -> Iterator[tuple[str, Domain]]:
        """Every path that is drawn, with its domain, in order."""
        return ((path, d) for path, d in self.fields() if not isinstance(d, Fixed))

    def fields(self) -> Iterator[tuple[str, Domain]]:
        """Every path with its domain, `Fixed` if it is not searched."""
        yield from _fields(TrialConfig, self.domains, "", None)

    def size(self, real: float = math.inf) -> float:
        """The number of configurations, with a real-valued range counted as `real` values."""
        return _size(TrialConfig, self.domains, "", real)


def _fields(
    cls: type[Config], domains: Mapping[str, Domain], path: str, owner: Config | None
) -> Iterator[tuple[str, Domain]]:
    for entry in entries(cls, domains, path, owner):
        if entry.members:
            yield f"{entry.path}.kind", entry.choice
            for kind in entry.kinds:
                below = f"{entry.path}.{kind}"
                yield from _fields(entry.members[kind], domains, below, entry.start(kind))
        elif entry.model:
            yield from _fields(entry.model, domains, entry.path, entry.start())
        else:
            yield entry.path, entry.domain or Fixed(entry.default)


def _size(cls: type[Config], domains: Mapping[str, Domain], path: str, real: float) -> float:
    factors = []
    for entry in entries(cls, domains, path):
        if entry.members:
            factors.append(
                sum(
                    _size(entry.members[kind], domains, f"{entry.path}.{kind}", real)
                    for kind in entry.kinds
                )
            )
        elif entry.model:
            factors.append(_size(entry.model, domains, entry.path, real))
        elif entry.domain:
            size = entry.domain.size()
            factors.append(real if math.isinf(size) else size)
    return math.prod(factors)
