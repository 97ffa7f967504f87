"""The options of a search by group: budget, goal, sampler, early stopping, start and resources.

A further option is a further field here, or in `data_options`, and the place that uses it. Nothing
heavy is imported: help texts come from here.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from launch.constraints import Constraint
from launch.decisions.budget import Budget
from launch.decisions.early_stopping import EarlyStopping
from launch.decisions.rules import RULES, Rule
from launch.figures import DEFAULT, Objectives
from launch.study.options import GivenPath, Group, Option, Text, not_empty
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


TrackerName = Literal["mlflow", "wandb"]


class TrackingOptions(Group):
    track: Annotated[TrackerName | None, Option(resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Log each trial that ends as a run of MLflow or of Weights & Biases. Where, "
        "their own variables say, such as MLFLOW_TRACKING_URI or WANDB_MODE.",
    )


def _auto_or_count(value: Any) -> Any:
    text = str(value).strip()
    if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= MOST_PER_GPU):
        raise ValueError(
            f"trials_per_gpu {shown(value)}: give auto, or a number from 1 to {MOST_PER_GPU}; for "
            "several GPUs of a trial give gpus_per_trial"
        )
    return text


def _amount_of(value: Any) -> Any:
    name, _, amount = (part.strip() for part in str(value).partition("="))
    try:
        good = bool(name) and 0 < float(amount) < math.inf
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            f"resources_per_trial {shown(value)}: give NAME=AMOUNT with a positive number, such as "
            "a100=1"
        )
    if name in RAYS_OWN:
        raise ValueError(f"resources_per_trial {name}: give {RAYS_OWN[name]}_per_trial instead")
    return f"{name}={amount}"


RAYS_OWN = {"CPU": "cpus", "GPU": "gpus", "memory": "memory"}
"""Names of resources that have options of their own."""

MOST_PER_GPU = 100
MOST_WORKERS = 1024

TrialsPerGPU = Annotated[str, BeforeValidator(_auto_or_count)]
"""`auto` or a number."""

Amount = Annotated[str, BeforeValidator(_amount_of)]
"""A custom resource of Ray as NAME=AMOUNT."""


class ResourceOptions(Group):
    """Devices of trials, and the options of the driver; see `launch.drivers.choose`.

    A driver may be given as an object. It is chosen again when a study is resumed.
    """

    driver: Annotated[Any, BeforeValidator(not_empty), Option("NAME", resumable=True)] = Field(
        default="ray",
        exclude=True,
        description="ray runs trials side by side, local one after the other in this process.",
    )
    workers_per_trial: Annotated[int | None, Option(resumable=True)] = Field(
        default=None,
        ge=1,
        le=MOST_WORKERS,
        exclude=True,
        description="Processes that train a trial together, each on its share of every batch and "
        "of what the trial reserves; by default as many as it has GPUs, else one. Example: "
        "--workers-per-trial 4 --cpus-per-trial 16.",
    )
    cpus_per_trial: Annotated[float | None, Option(resumable=True)] = Field(
        default=None,
        ge=1,
        exclude=True,
        description="CPU cores that Ray reserves for a trial; 1 by default for each worker.",
    )
    gpus_per_trial: Annotated[float | None, Option(resumable=True)] = Field(
        default=None,
        ge=0,
        exclude=True,
        description="GPUs that Ray reserves for a trial; where trials run on GPUs, one by default "
        "for each worker.",
    )
    trials_per_gpu: Annotated[TrialsPerGPU | None, Option("auto|N", resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Trials that share a GPU, in place of --gpus-per-trial; auto: as many as its "
        "memory holds, by an estimate for each. None of them gets more than its share.",
    )
    memory_per_trial: Annotated[float | None, Option("GB", resumable=True)] = Field(
        default=None,
        gt=0,
        exclude=True,
        description="Main memory, in GB, that Ray sets aside for a trial; none by default. It "
        "limits how many trials run on a node, not what they take.",
    )
    resources_per_trial: Annotated[
        tuple[Amount, ...] | None, Option("NAME=AMOUNT", comma=True, resumable=True)
    ] = Field(
        default=None,
        exclude=True,
        description="Custom resources of Ray that a trial reserves, such as a100=1: it runs only "
        "on nodes that have them.",
    )
    max_concurrent: Annotated[int | None, Option("TRIALS", resumable=True)] = Field(
        default=None,
        ge=1,
        le=MOST_TRIALS,
        exclude=True,
        description="The most trials at once; by default as many as the cluster has room for.",
    )
    address: Annotated[Text | None, Option("ADDRESS", resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Running Ray cluster to join: HOST:PORT, or auto for RAY_ADDRESS or this "
        "machine's. The study must then lie on storage that all nodes share. By default, Ray is "
        "started for this search alone.",
    )

    @field_validator("resources_per_trial")
    @classmethod
    def _each_once(cls, amounts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = [amount.partition("=")[0] for amount in amounts or ()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"resources_per_trial {twice[0]}: there are {names.count(twice[0])} amounts of it; "
                "give one"
            )
        return amounts

    device: Device = None
    measure_on: Annotated[Text | None, Option("RESOURCE")] = Field(
        default=None,
        title="Measured on nodes with",
        description="Custom resource of the Ray nodes that are the target device: detectors are "
        "scored and measured there, wherever they were trained.",
    )
