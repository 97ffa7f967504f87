"""Named spaces: a TOML file narrows, fixes or widens paths of `TrialConfig`.

::

    [detector]
    input_size = {choice = [128, 160, 192]}     # options
    [detector.backbone]
    kind = "mobilenet_v1"                       # a plain value fixes the field
    [compress.pruning.slimming]
    ratio = {low = 0.2, high = 0.7}             # a range
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from searchspace.domains import Choice, Domain, Fixed, OptunaTrial, dump_domain
from searchspace.papers import papers
from searchspace.space import (
    Config,
    OutsideSpace,
    entries,
    parse_domain,
    paths,
    project,
    suggest,
    to_params,
)
from searchspace.trial import TrialConfig

STOCK = "ssdmnetv1"
"""The paper's system that every search is read against."""


class SpaceError(ValueError):
    """A space file that cannot be used; the message names file, path, value and fix."""


@dataclass(frozen=True)
class Space:
    """What a search may draw: `TrialConfig`'s own domains, narrowed path by path."""

    name: str
    domains: Mapping[str, Domain]

    def suggest(self, trial: OptunaTrial) -> TrialConfig:
        return suggest(trial, TrialConfig, self.domains)

    def to_params(self, config: TrialConfig) -> dict[str, Any]:
        """Raises `OutsideSpace` where the space does not hold `config`."""
        return to_params(config, self.domains)

    def holds(self, config: TrialConfig) -> bool:
        try:
            self.to_params(config)
        except OutsideSpace:
            return False
        return True

    def baseline(self) -> TrialConfig:
        """The unpruned stock SSD-MobileNetV1, as near to the paper's as this space has it."""
        return self.nearest(papers[STOCK].trial)

    def nearest(self, config: TrialConfig) -> TrialConfig:
        """`config` moved into the space, field by field.

        Raises:
            pydantic.ValidationError: the nearest fields do not go together.
        """
        return project(config, self.domains)

    def papers(self) -> dict[str, TrialConfig]:
        """The papers' systems that this space can express, each moved to its sizes.

        Backbone and neck are the paper's own; width, input, priors and recipe are the nearest that
        the space has. Systems that become the same are named once.
        """
        found: dict[TrialConfig, str] = {}
        for name, system in papers.items():
            config = self.nearest(system.trial)
            ours, theirs = config.detector, system.trial.detector
            if (ours.backbone, ours.neck) == (theirs.backbone, theirs.neck):
                found.setdefault(config, name)
        return {name: config for config, name in found.items()}

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
        """Every path that is really drawn, with its domain, in the order of drawing."""
        yield from _searched(TrialConfig, self.domains, "")

    def size(self, real: float = math.inf) -> float:
        """How many configurations there are, a real-valued range counted as `real` values."""
        return _size(TrialConfig, self.domains, "", real)


def space_names() -> list[str]:
    """The spaces that ship with the package."""
    files = resources.files("searchspace.spaces").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_space(name: str | Path) -> Space:
    """A named space, or one from a TOML file.

    Raises:
        SpaceError: no such space or file, a path that `TrialConfig` does not have (the nearest
            valid one is named), or a value that does not fit its field.
    """
    if str(name) in space_names():
        text = resources.files("searchspace.spaces").joinpath(f"{name}.toml").read_text()
    elif Path(name).is_file():
        text = _read(Path(name))
    else:
        known = ", ".join(space_names())
        raise SpaceError(f"space {str(name)!r}: neither a named space ({known}) nor a TOML file")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpaceError(f"{name}: not TOML: {error}") from None
    return Space(Path(name).stem, _parse(str(name), tree))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpaceError(f"{path}: not UTF-8: {error}") from None


def _parse(source: str, tree: dict[str, Any]) -> dict[str, Domain]:
    valid = list(paths(TrialConfig))
    domains: dict[str, Domain] = {}
    for path, spec in _leaves(tree, set(valid), ""):
        if path not in valid:
            near = difflib.get_close_matches(path, valid, n=1, cutoff=0.0)[0]
            raise SpaceError(f"{source}: there is no field {path}; the nearest one is {near}")
        try:
            domains[path] = parse_domain(TrialConfig, path, spec)
        except (TypeError, ValueError) as error:
            raise SpaceError(f"{source}: {path} = {spec!r}: {error}") from None
    return domains


def _leaves(tree: dict[str, Any], valid: set[str], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        here = f"{path}.{name}" if path else name
        is_table = isinstance(value, dict) and not value.keys() & {"choice", "low", "high"}
        if is_table and here not in valid:
            yield from _leaves(value, valid, here)
        else:
            yield here, value


def _searched(
    cls: type[Config], domains: Mapping[str, Domain], path: str
) -> Iterator[tuple[str, Domain]]:
    for entry in entries(cls, domains, path):
        if entry.members:
            if not isinstance(entry.domain, Fixed):
                yield f"{entry.path}.kind", entry.domain
            for kind in _kinds(entry.domain):
                yield from _searched(entry.members[kind], domains, f"{entry.path}.{kind}")
        elif entry.model:
            yield from _searched(entry.model, domains, entry.path)
        elif entry.domain and not isinstance(entry.domain, Fixed):
            yield entry.path, entry.domain


def _size(cls: type[Config], domains: Mapping[str, Domain], path: str, real: float) -> float:
    factors = []
    for entry in entries(cls, domains, path):
        if entry.members:
            kinds = _kinds(entry.domain)
            factors.append(
                sum(_size(entry.members[k], domains, f"{entry.path}.{k}", real) for k in kinds)
            )
        elif entry.model:
            factors.append(_size(entry.model, domains, entry.path, real))
        elif entry.domain:
            size = entry.domain.size()
            factors.append(real if math.isinf(size) else size)
    return math.prod(factors)


def _kinds(domain: Domain) -> tuple[str, ...]:
    return domain.options if isinstance(domain, Choice) else (domain.value,)
