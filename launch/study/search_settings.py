"""The options of a search: each is one field, from which everything else derives.

`launch.search` takes the fields by name, `sparrow search` has an option for each, `study.json`
stores them, and the report shows those that are not as usual. A further option is a further field
here, and the place that uses it. Nothing heavy is imported: help texts come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from launch.constraints import Constraint, figures_of
from launch.decisions.early_stopping import EarlyStopping
from launch.decisions.rules import RULES, Rule
from launch.figures import DEFAULT, FigureName, Objectives
from launch.study.options import GivenPath, Group, Option, Text, marked, not_empty, options_of
from launch.study.samplers import Sampler, usual_sampler
from launch.trial.errors import SettingsError
from searchspace.compression import Ratio
from searchspace.names import closest
from searchspace.reading import in_words, shown
from searchspace.training import TrainConfig

StoppedAs = Literal["pruned", "rescaled"]
"""How a stopped trial is reported to the sampler: as PRUNED, or COMPLETE with AP_small as it would
have become if it had grown like that of others."""

REPORTED_AS: StoppedAs = "rescaled"
"""The default, by `benchmarks.search.compare`."""

MAX_SEED = 2**32 - 1
"""The largest seed that numpy's generators take."""

MOST_TRIALS = 1_000_000
MOST_MEGAPIXELS = 10_000.0
MOST_GB = 1e6
MOST_TIME = 1e7
"""Minutes or hours; more is a slip."""


Time = Annotated[float, Field(gt=0, le=MOST_TIME)]
"""Minutes or hours."""


def _known_rule(rule: Any) -> Any:
    if isinstance(rule, str) and rule not in RULES.by_kind:
        raise ValueError(f"early_stopping {rule!r}: choose from {', '.join(RULES.by_kind)}")
    return rule


AskedRule = Annotated[Rule | str, BeforeValidator(_known_rule)]

Device = Annotated[
    Text | None,
    Option("DEVICE"),
    Field(title="Trials run on", description="cpu or cuda; by default a GPU if there is one."),
]
Weights = Annotated[
    GivenPath | None,
    Option("FOLDER|none"),
    Field(
        title="Weights from",
        description="Folder of published weights that backbones start from, instead of a "
        "download, or a saved detector whose weights are taken where they fit; none starts from "
        "random numbers. All nodes must see it under the same path.",
    ),
]
SkipBad = Annotated[
    bool | Literal["anyway"],
    Option("[=anyway]", bare="true"),
    Field(
        description="Drop bad entries of the data, count them, and go on; only while 90% of the "
        "images and of the annotations are kept, or anyway."
    ),
]


class DataOptions(Group):
    """What is read of data, and what is left out."""

    skip_bad: SkipBad = False
    links: bool = Field(
        default=True, description="Links in the image folder may lead out of it, as into a store."
    )
    max_megapixels: float | None = Field(
        default=None,
        gt=0,
        le=MOST_MEGAPIXELS,
        description="Largest image that is read, in millions of pixels; 150 by default.",
    )

    @property
    def reading(self) -> dict[str, Any]:
        """The arguments of `read_source` that these options are."""
        limit = {"max_megapixels": self.max_megapixels} if self.max_megapixels else {}
        return {"skip_bad": self.skip_bad, "links": self.links, **limit}


class LeakOptions(DataOptions):
    drop_leaks: bool = Field(
        default=False,
        title="Leaks dropped",
        description="Leave out the training images that are validation images, too: the same file, "
        "or the same to the eye.",
    )


class CacheOptions(DataOptions):
    cache_gb: Annotated[float | None, Option("GB", resumable=True)] = Field(
        default=None,
        ge=0,
        le=MOST_GB,
        title="Gigabytes of decoded images",
        description="Most disk space for decoded images on a node; by default half of what is "
        "free there. 0 keeps none.",
    )


class TrainingDataOptions(LeakOptions, CacheOptions):
    @property
    def of_trials(self) -> dict[str, Any]:
        """The arguments of `TrialData.read` that these options are."""
        return {**self.reading, "drop_leaks": self.drop_leaks, "cache_gb": self.cache_gb}


class BudgetOptions(Group):
    trials: Annotated[int, Option(resumable=True)] = Field(
        default=20,
        ge=1,
        le=MOST_TRIALS,
        title="Trials requested",
        description="Number of trials in all, the baseline and failed ones included.",
    )
    minutes: Time | None = Field(
        default=None,
        title="Minutes at most",
        description="Time limit: no trial starts that would probably end later.",
    )
    device_hours: Annotated[Time | None, Option("HOURS")] = Field(
        default=None,
        title="Device-hours at most",
        description="Limit on the sum of the trials' own times, in hours: no trial starts that "
        "would probably exceed it.",
    )
    trial_timeout: Annotated[Time | None, Option("MINUTES", resumable=True)] = Field(
        default=None,
        title="Minutes a trial may take",
        description="End a trial that takes longer, as failed. One without any sign of life for "
        "far longer than trials take is ended in any case.",
    )


class GoalOptions(Group):
    objectives: Annotated[Objectives, Option("FIGURE", "--objective")] = Field(
        default=DEFAULT,
        description="Figure that the front is over, the most important first; give at least two.",
    )
    constraints: tuple[Constraint, ...] = Field(
        default=(), description="Bounds that every detector of the front keeps."
    )


class SamplingOptions(Group):
    sampler: Annotated[Sampler | None, Option("NAME")] = Field(
        default=None,
        description="Proposes configurations after the planned ones; gp by default, tpe if "
        "bounds or --gate may end designs before training.",
    )
    seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="Seed of the sampler's random draws."
    )


class EarlyOptions(Group):
    gate: bool = Field(
        default=False,
        description="Do not train designs that cannot reach the front, by their predicted cost and "
        "the highest AP_small that is likely.",
    )
    halving: bool = Field(
        default=False,
        description="The same as --early-stopping halving: successive halving.",
    )
    early_stopping: Annotated[AskedRule | None, Option("NAME")] = Field(
        default=None,
        description="Rule that stops trials that do worse than others, such as halving.",
    )
    rungs: Annotated[tuple[int, ...] | None, Option("EPOCHS", comma=True)] = Field(
        default=None,
        description="Epochs after which trials are compared, such as 2,4; by default a quarter and "
        "half of the training.",
    )
    stopped_as: StoppedAs | None = Field(
        default=None,
        description=f"How stopped trials are reported to the sampler; {REPORTED_AS} by default.",
    )

    @property
    def asked(self) -> EarlyStopping | str | None:
        """The requested rule, or its name."""
        return "halving" if self.halving else self.early_stopping

    def check(self) -> None:
        """Raise `SettingsError` where options of early stopping do not go together."""
        for name in ("rungs", "stopped_as"):
            value = getattr(self, name)
            if value is not None and self.asked is None:
                raise SettingsError(
                    f"{name} {shown(value)}: nothing is stopped without a rule; give halving, too"
                )
        if self.halving and self.early_stopping not in (None, "halving"):
            raise SettingsError("early_stopping: there is halving already; give one of them")
        if self.rungs is not None:
            self.built(self.rungs)

    def rule(self, train: TrainConfig) -> EarlyStopping | None:
        """The requested rule for a training; raises `InputError`."""
        if self.rungs is not None:
            return self.built(self.rungs)
        return RULES.by_kind[self.asked].usual(train) if isinstance(self.asked, str) else self.asked

    def built(self, budgets: tuple[int, ...]) -> EarlyStopping:
        """The rule with the requested name; raises `SettingsError`."""
        if not isinstance(self.asked, str):
            raise SettingsError("rungs: the rule has its own budgets; leave rungs out")
        try:
            return RULES.by_kind[self.asked].model_validate({"budgets": budgets})
        except ValidationError as error:
            raise SettingsError(f"rungs: {in_words(error).removeprefix('budgets: ')}") from None

    @property
    def reported_as(self) -> StoppedAs:
        """How stopped trials are reported to the sampler."""
        return self.stopped_as or REPORTED_AS


class StartOptions(Group):
    papers: bool = Field(
        default=True,
        description="Begin with papers' systems that the space can express, for at most a third of "
        "the trials and of the budget.",
    )
    weights: Weights = None
    teacher: Annotated[GivenPath | None, Option("FOLDER")] = Field(
        default=None,
        description="Saved detector, usually a larger one, that may teach during training: "
        "channel-wise, at temperatures from 1 to 8, or not at all.",
    )
    inherit: bool = Field(
        default=False,
        title="Weight inheritance",
        description="Start trainings from the most similar trained design, and take half the "
        "epochs.",
    )
    ladder: Annotated[tuple[Ratio, ...], Option("RATIOS", comma=True)] = Field(
        default=(),
        title="Pruning ladder",
        description="Prune the best trained detectors at these ratios, too, such as 0.3,0.5.",
    )
    warm_start: Annotated[tuple[GivenPath, ...], Option("PATH")] = Field(
        default=(),
        description="Earlier study, or CSV file, whose results the sampler learns from first.",
    )


def _auto_or_count(value: Any) -> Any:
    text = str(value).strip()
    if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= MOST_PER_GPU):
        raise ValueError(
            f"trials_per_gpu {shown(value)}: give auto, or a number from 1 to {MOST_PER_GPU}; for "
            "several GPUs of a trial give gpus_per_trial"
        )
    return text


MOST_PER_GPU = 100

TrialsPerGPU = Annotated[str, BeforeValidator(_auto_or_count)]
"""`auto` or a number."""


class ResourceOptions(Group):
    """Devices of trials, and the options of the driver; see `launch.drivers.choose`.

    A driver may be given as an object. It is chosen again when a study is resumed.
    """

    driver: Annotated[Any, BeforeValidator(not_empty), Option("NAME", resumable=True)] = Field(
        default="ray",
        exclude=True,
        description="ray runs trials side by side, local one after the other in this process.",
    )
    cpus_per_trial: Annotated[float | None, Option(resumable=True)] = Field(
        default=None,
        ge=1,
        exclude=True,
        description="CPU cores that Ray reserves for a trial; 1 by default.",
    )
    gpus_per_trial: Annotated[float | None, Option(resumable=True)] = Field(
        default=None,
        ge=0,
        exclude=True,
        description="GPUs that Ray reserves for a trial; one by default where trials run on GPUs.",
    )
    trials_per_gpu: Annotated[TrialsPerGPU | None, Option("auto|N", resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Trials that share a GPU, in place of --gpus-per-trial; auto: as many as its "
        "memory holds, by an estimate for each. None of them gets more than its share.",
    )
    address: Annotated[Text | None, Option("ADDRESS", resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Running Ray cluster to join: HOST:PORT, or auto for RAY_ADDRESS or this "
        "machine's. The study must then lie on storage that all nodes share. By default, Ray is "
        "started for this search alone.",
    )
    device: Device = None
    measure_on: Annotated[Text | None, Option("RESOURCE")] = Field(
        default=None,
        title="Measured on nodes with",
        description="Custom resource of the Ray nodes that are the target device: detectors are "
        "scored and measured there, wherever they were trained.",
    )


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
    "minutes",
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
