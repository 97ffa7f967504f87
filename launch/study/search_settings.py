"""The options of a search: each is one field, from which everything else derives.

`launch.search` takes the fields by name, `sparrow search` has an option for each, `study.json`
stores them, and the report shows those that are not as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launch.constraints import figures_of
from launch.decisions.early_stopping import EarlyStopping
from launch.figures import FigureName
from launch.study.data_options import TrainingDataOptions
from launch.study.options import Group, marked, options_of
from launch.study.resource_options import ResourceOptions
from launch.study.samplers import usual_sampler
from launch.study.search_options import (
    BudgetOptions,
    EarlyOptions,
    GoalOptions,
    SamplingOptions,
    SharedOptions,
    StartOptions,
    TrackingOptions,
)
from launch.trial.errors import SettingsError
from searchspace.names import closest
from searchspace.reading import in_words


class SearchSettings(BaseModel):
    """All that may be said of a search beside space, data and folder, by group.

    `SearchSettings(budget=BudgetOptions(trials=8))` is the same as `SearchSettings.of(trials=8)`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: TrainingDataOptions = Field(default=TrainingDataOptions(), title="Data")
    budget: BudgetOptions = Field(default=BudgetOptions(), title="Budget")
    goal: GoalOptions = Field(default=GoalOptions(), title="Goal")
    sampling: SamplingOptions = Field(default=SamplingOptions(), title="Sampler")
    early: EarlyOptions = Field(default=EarlyOptions(), title="Early stopping")
    start: StartOptions = Field(default=StartOptions(), title="Start")
    resources: ResourceOptions = Field(default=ResourceOptions(), title="Resources")
    tracking: TrackingOptions = Field(default=TrackingOptions(), title="Tracking")
    shared: SharedOptions = Field(default=SharedOptions(), title="Several drivers")

    @classmethod
    def of(cls, **options: Any) -> SearchSettings:
        """Settings from options by name; raises `SettingsError`, which names them."""
        return changed(cls(), **options)

    @property
    def figures(self) -> tuple[FigureName, ...]:
        """All figures of objectives and constraints."""
        return figures_of(self.goal.objectives, self.goal.constraints)

    @property
    def early_stopping(self) -> EarlyStopping | None:
        """The rule by which trials are stopped; None trains all to their end."""
        asked = self.early.asked
        return asked if isinstance(asked, EarlyStopping) else None

    @property
    def sampler(self) -> str:
        """The requested sampler, or else the default one."""
        may_end = bool(self.goal.constraints) or self.early.gate
        return self.sampling.sampler or usual_sampler(may_end)


S = TypeVar("S", bound=SearchSettings)


HOMES = {
    name: group
    for group in SearchSettings.model_fields
    for name in type(getattr(SearchSettings(), group)).model_fields
}
"""The group of each option."""

GIVEN = (
    *TrainingDataOptions.model_fields,
    *ResourceOptions.model_fields,
    *TrackingOptions.model_fields,
    *SharedOptions.model_fields,
    "minutes",
    "hours",
    "device_hours",
    "trial_timeout",
    "objectives",
    "weights",
)
"""The options of given trials: those that say nothing of how trials are found."""


class GivenSettings(SearchSettings):
    """The options of given trials, as `sparrow` has them."""

    only: ClassVar = GIVEN


RESUMABLE = tuple(name for _, name, field in options_of(SearchSettings) if marked(field).resumable)
"""The options that may be given when a study is resumed."""


def changed(settings: S, **options: Any) -> S:
    """The settings with some options changed, which are given by name whatever their group.

    Raises:
        SettingsError: there is no such option, or its value is invalid.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        if name not in HOMES:
            raise SettingsError(f"{name}: a search has no such option{closest(name, HOMES)}")
        groups.setdefault(HOMES[name], {})[name] = value
    return settings.model_copy(
        update={name: _group(getattr(settings, name), given) for name, given in groups.items()}
    )


def _group(before: Group, given: Mapping[str, Any]) -> Group:
    there = {name: getattr(before, name) for name in before.model_fields_set}
    try:
        return type(before)(**{**there, **given})
    except ValidationError as error:
        raise SettingsError(in_words(error)) from None


def options_in(settings: SearchSettings) -> dict[str, Any]:
    """All options with their values, by name."""
    return {name: getattr(getattr(settings, group), name) for name, group in HOMES.items()}


def given_options(settings: SearchSettings) -> dict[str, Any]:
    """The options that were given, by name."""
    return {
        name: value
        for name, value in options_in(settings).items()
        if name in getattr(settings, HOMES[name]).model_fields_set
    }
