"""A list of given trials in the role of a space, whose only parameter is the name of the trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from searchspace.config import OutsideSpace
from searchspace.domains import Choice, Domain, OptunaTrial
from searchspace.errors import InputError
from searchspace.space import Space
from searchspace.trial import TrialConfig

TRIAL = "trial"
"""The parameter."""

GIVEN = "given"
"""Key of the configurations in the dump of such a space."""


@dataclass(frozen=True)
class GivenTrials(Space):
    """Given trials by name.

    Attributes:
        configs: each after those whose detectors it needs. Two names may have one configuration,
            which is one trial.
        table: the paper's table whose rows they are, by its name in `searchspace.papers.tables`.
    """

    configs: Mapping[str, TrialConfig] = field(default_factory=dict)
    table: str | None = None

    @classmethod
    def of(
        cls, name: str, configs: Mapping[str, TrialConfig], table: str | None = None
    ) -> GivenTrials:
        """Trials in an order in which they can run, which is otherwise that of `configs`.

        Args:
            name: what they are, for reports.

        Raises:
            InputError: there are none, or some need each other's detectors.
        """
        if not configs:
            raise InputError("there are no trials: give at least one configuration")
        ordered = _ordered(configs)
        return cls(name, {TRIAL: Choice(*ordered)}, ordered, table)

    def with_configs(self, configs: Mapping[str, TrialConfig]) -> GivenTrials:
        """The same trials with other settings."""
        return self.of(self.name, configs, self.table)

    def needs(self, config: TrialConfig) -> dict[str, TrialConfig]:
        """By name, the trials among these whose detectors a trial needs."""
        return {name: self.configs[name] for name in config.detectors if name in self.configs}

    @property
    def outside(self) -> tuple[str, ...]:
        """The names of the saved detectors that they need from elsewhere."""
        names = (name for config in self.configs.values() for name in config.detectors)
        return tuple(dict.fromkeys(name for name in names if name not in self.configs))

    def names(self, config: TrialConfig) -> tuple[str, ...]:
        """The names of a trial."""
        return tuple(name for name, own in self.configs.items() if own == config)

    def suggest(self, trial: OptunaTrial) -> TrialConfig:
        return self.configs[str(self.domains[TRIAL].suggest(trial, TRIAL))]

    def to_params(self, config: TrialConfig) -> dict[str, Any]:
        names = self.names(config)
        if not names:
            raise OutsideSpace(f"it is not one of the trials {', '.join(self.configs)}")
        return {TRIAL: names[0]}

    def baseline(self) -> TrialConfig:
        """The first of them."""
        return next(iter(self.configs.values()))

    def nearest(self, config: TrialConfig) -> TrialConfig:
        """The configuration itself; raises `OutsideSpace` if it is not one of them."""
        self.to_params(config)
        return config

    def fields(self) -> Iterator[tuple[str, Domain]]:
        yield TRIAL, self.domains[TRIAL]

    def size(self, real: float = 1.0) -> float:
        return len(self.configs)

    def dump(self) -> dict[str, Any]:
        configs = {name: config.model_dump(mode="json") for name, config in self.configs.items()}
        return {"name": self.name, GIVEN: configs, "table": self.table}


def restored(dumped: Mapping[str, Any]) -> Space:
    """The space or the given trials that a study's settings hold."""
    if GIVEN not in dumped:
        return Space.restore(dumped)
    configs = {name: TrialConfig.model_validate(tree) for name, tree in dumped[GIVEN].items()}
    return GivenTrials.of(dumped["name"], configs, dumped["table"])


def _ordered(configs: Mapping[str, TrialConfig]) -> dict[str, TrialConfig]:
    """Configurations, each after those whose detectors it needs."""
    found: dict[str, TrialConfig] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            raise InputError(f"these trials need each other's detectors: {circle}")
        for needed in configs[name].detectors:
            if needed in configs and needed not in found:
                add(needed, (*above, name))
        found.setdefault(name, configs[name])

    for name in configs:
        add(name, ())
    return found
