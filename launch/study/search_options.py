"""The options of a search by group: budget, goal, sampler, early stopping, start and tracking.

A further option is a further field here, in `resource_options` or in `data_options`, and the place
that uses it. Nothing heavy is imported: help texts come from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from launch.constraints import Constraint
from launch.decisions.budget import Budget
from launch.decisions.early_stopping import EarlyStopping
from launch.decisions.rules import RULES, Rule
from launch.figures import DEFAULT, Objectives
from launch.study.options import GivenPath, Group, Option, Place, Text
from launch.study.samplers import Sampler
from launch.trial.errors import SettingsError
from searchspace.compression import Ratio
from searchspace.reading import in_words, shown
from searchspace.training import TrainConfig

StoppedAs = Literal["pruned", "rescaled"]
"""How a stopped trial is reported to the sampler: as PRUNED, or COMPLETE with AP_small as it would
have become if it had grown like that of others."""

REPORTED_AS: StoppedAs = "rescaled"
"""The default, by `benchmarks.search.compare`."""

MAX_SEED = 2**32 - 1
"""The largest seed that numpy's generators take."""

USUAL_SHARE, MOST_SHARED = "0.15", 0.5
"""Of the device time of a search, for shared weights."""

MOST_TRIALS = 1_000_000
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
    hours: Time | None = Field(
        default=None, title="Hours at most", description="The same as --minutes, in hours."
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

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.minutes is not None and self.hours is not None:
            raise ValueError(f"hours {self.hours:g}: there are minutes already; give one of them")
        return self

    @property
    def time_limit(self) -> float | None:
        """Seconds that the search may take."""
        if self.hours is not None:
            return 3600 * self.hours
        return None if self.minutes is None else 60 * self.minutes

    @property
    def limits(self) -> Budget:
        """As what decides whether a trial may begin takes them."""
        minutes = None if self.time_limit is None else self.time_limit / 60
        return Budget(self.trials, minutes, self.device_hours)


class GoalOptions(Group):
    objectives: Annotated[Objectives, Option("FIGURE", "--objective")] = Field(
        default=DEFAULT,
        description="Figure that the front is over, the most important first; over one alone, "
        "it is the best trial.",
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
    shared_weights: Annotated[float | None, Option("[=SHARE]", bare=USUAL_SHARE)] = Field(
        default=None,
        gt=0,
        le=MOST_SHARED,
        description="Train one network for many designs first, for a share of the search's device "
        f"time, {USUAL_SHARE} by default; as far as its scores agree with finished trials, they "
        "propose designs.",
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
        description="Start trainings from the most similar trained design, or with "
        "--shared-weights from their slices of these, and take half the epochs.",
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


TrackerName = Literal["mlflow", "wandb"]


class TrackingOptions(Group):
    track: Annotated[TrackerName | None, Option(resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Log each trial that ends as a run of MLflow or of Weights & Biases. Where, "
        "their own variables say, such as MLFLOW_TRACKING_URI or WANDB_MODE.",
    )


class SharedOptions(Group):
    """A study that several drivers share; see `launch.study.shared_journal`."""

    storage: Annotated[Text | None, Option("ADDRESS", resumable=True)] = Field(
        default=None,
        exclude=True,
        description="PostgreSQL database in which several drivers, also of other machines, share "
        "the study: postgresql://USER@HOST/DATABASE. Each has an --out of its own. When a search "
        "is resumed, or only --study-name is given, SPARROW_STORAGE may hold the address.",
    )
    study_name: Annotated[Text | None, Field(max_length=200), Option("NAME")] = Field(
        default=None,
        title="Shared study",
        description="The study's name in the database; sparrow by default.",
    )
    stages: Annotated[Place | None, Option("FOLDER|ADDRESS")] = Field(
        default=None,
        title="Stages in",
        description="Folder or address that all drivers of a shared study reach: they share "
        "trainings in it, and a trial that is taken over goes on from its checkpoint.",
    )

    @model_validator(mode="after")
    def _stages_are_shared(self) -> Self:
        if self.stages is not None and not self.is_shared:
            raise ValueError("stages: it is for a study that drivers share; give --storage, too")
        return self

    @property
    def is_shared(self) -> bool:
        """Whether other drivers may take part in the study."""
        return self.storage is not None or self.study_name is not None

    @property
    def name(self) -> str:
        """The name of a shared study."""
        return self.study_name or "sparrow"
