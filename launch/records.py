"""Records of trials, kept by a study and used for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.figures import FigureName, if_known
from launch.trial.result import TrialResult, figure_of
from searchspace import TrialConfig
from searchspace.given import TRIAL
from searchspace.trial import training_cause


class _Ending(BaseModel):
    """How a trial ended.

    Attributes:
        early: ended by the study's decision, without a result.
        trained: its training had started.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    early: ClassVar[bool] = False
    trained: ClassVar[bool] = True


class Finished(_Ending):
    """It has a result.

    Attributes:
        broken: the study's constraints that its detector violates.
    """

    state: Literal["finished"] = "finished"
    result: TrialResult
    broken: tuple[str, ...] = ()


class Failed(_Ending):
    """It has no result.

    Attributes:
        lasting: caused by its configuration, so it would fail again.
    """

    state: Literal["failed"] = "failed"
    reason: str
    lasting: bool = False


class Infeasible(_Ending):
    """It was not trained, because its predicted cost violates constraints.

    Attributes:
        broken: these constraints.
    """

    early: ClassVar[bool] = True
    trained: ClassVar[bool] = False

    state: Literal["infeasible"] = "infeasible"
    broken: tuple[str, ...]


class Gated(_Ending):
    """It was not trained, because the front dominates its predicted upper bound."""

    early: ClassVar[bool] = True
    trained: ClassVar[bool] = False

    state: Literal["gated"] = "gated"
    reason: str


class Stopped(_Ending):
    """It was stopped by the early-stopping rule; it may be promoted later.

    Attributes:
        growth: growth factor of AP_small of other trials from this rung to their end; None if none
            had ended.
    """

    early: ClassVar[bool] = True

    state: Literal["stopped"] = "stopped"
    reason: str
    growth: float | None = None


Ending = Annotated[Finished | Failed | Infeasible | Gated | Stopped, Field(discriminator="state")]

State = Literal["finished", "running", "failed", "infeasible", "gated", "stopped"]
"""The state of a trial: `running` until it ends, then that of its ending."""

STATES: tuple[State, ...] = get_args(State)
"""In the order of reports."""

_ENDINGS = {e.model_fields["state"].default: e for e in get_args(get_args(Ending)[0])}

EARLY: tuple[State, ...] = tuple(state for state, ending in _ENDINGS.items() if ending.early)
"""States of trials that the study ended without a result."""

UNTRAINED: tuple[State, ...] = tuple(s for s, ending in _ENDINGS.items() if not ending.trained)
"""States of trials that were ended before training."""

TRAINING = ("epochs", "finetune_epochs", "still_rising")
"""Columns of `front.csv` about the training, which are neither parameters nor figures."""

Param = bool | int | float | str | None
"""The value of an Optuna parameter."""

SHARED: Literal["shared"] = "shared"
"""Instead of a parent: the weights that many designs share."""

Parent = int | Literal["shared"]
"""What a trial inherits its weights from: another trial by its number, or shared weights."""

Origin = Literal["baseline", "paper", "given", "ladder", "shared", "sampler"]

REFERENCES: tuple[Origin, ...] = ("baseline", "paper", "given")
"""Origins of trials that the front is compared with: they are always trained to the end."""


DRAWN: tuple[Origin, ...] = ("sampler", "shared")
"""Origins of trials that nothing but the search itself asked for."""


class TrialRecord(BaseModel):
    """One trial of a study.

    Attributes:
        number: its number in the study, from 0.
        folder: folder of its artefacts, relative to the study's.
        origin: `baseline` for the unpruned stock detector, `paper` for a published system moved
            to the space's sizes, `given` for a trial of a given list, `ladder` for a trial's
            detector pruned at another ratio, `shared` for a design that shared weights proposed,
            `sampler` for all others.
        params: the parameters that draw its configuration from the space.
        config: the configuration that is trained.
        drawn: the configuration as drawn, if it differs: with inherited weights, a trial is trained
            for fewer epochs.
        parent: what it inherits its weights from, if anything.
        ending: how it ended; None while it runs, or waits to be run again.
        predicted: predicted cost of its detector, known before training.
        midway: metrics of snapshots, by epochs of training; without classes.
        promoted: the last rung from which it was promoted.
        retries: how often it was retried after a failure.
        seconds: wall time of its attempts, without waiting for a place to run.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    folder: str
    origin: Origin
    params: dict[str, Param]
    config: TrialConfig
    drawn: TrialConfig | None = None
    parent: Parent | None = None
    ending: Ending | None = None
    predicted: Cost | None = None
    midway: dict[int, Metrics] = {}
    promoted: int = 0
    retries: int = 0
    seconds: float = 0.0

    @classmethod
    def read(cls, text: bytes | str) -> Self:
        """A record from JSON, where its configuration is twice once it has a result: it is
        validated once, which takes longest.

        Raises:
            ValueError: there is none.
        """
        tree = from_json(text)
        if not isinstance(tree, dict) or "config" not in tree:
            return cls.model_validate(tree)
        given = tree["config"]
        tree["config"] = TrialConfig.model_validate(given)
        ending = tree.get("ending")
        result = ending.get("result") if isinstance(ending, dict) else None
        if isinstance(result, dict) and result.get("config") == given:
            result["config"] = tree["config"]
        return cls.model_validate(tree)

    def ended(self, ending: Ending, seconds: float) -> TrialRecord:
        """This trial after a final attempt of `seconds`."""
        return self.model_copy(update={"ending": ending, "seconds": self.seconds + seconds})

    def promoted_from(self, rung: int) -> TrialRecord:
        """This stopped trial, promoted from the rung where it was stopped."""
        return self.model_copy(update={"ending": None, "promoted": rung})

    def tried_again(self) -> TrialRecord:
        """This failed trial, to be retried."""
        return self.model_copy(update={"ending": None, "retries": self.retries + 1})

    @property
    def name(self) -> str | None:
        """The name of a given trial; None for others."""
        return str(self.params[TRIAL]) if self.origin == "given" else None

    @property
    def as_drawn(self) -> TrialConfig:
        """The configuration that the space drew."""
        return self.drawn or self.config

    @property
    def training(self) -> tuple[Any, ...]:
        """Everything that determines its training: equal values share a training in a study."""
        return *training_cause(self.config), self.parent

    @property
    def state(self) -> State:
        return self.ending.state if self.ending else "running"

    @property
    def result(self) -> TrialResult | None:
        """Its result, if it finished."""
        return self.ending.result if isinstance(self.ending, Finished) else None

    @property
    def finished(self) -> TrialResult:
        """The result of a trial that came to one; raises `ValueError` for any other."""
        if self.result is None:
            raise ValueError(f"trial {self.number} is {self.state}: it has no result")
        return self.result

    @property
    def reason(self) -> str | None:
        """Why it failed or was ended early; None otherwise."""
        return getattr(self.ending, "reason", None)

    @property
    def broken(self) -> tuple[str, ...]:
        """The study's constraints that its detector violates."""
        return getattr(self.ending, "broken", ())

    @property
    def why(self) -> str:
        """Why it has no place on the front, by its ending or its constraints; else empty."""
        return self.reason or (f"not {', not '.join(self.broken)}" if self.broken else "")

    @property
    def lasting(self) -> bool:
        """Whether its failure was caused by its configuration, so that it would fail again."""
        return isinstance(self.ending, Failed) and self.ending.lasting

    @property
    def again(self) -> bool:
        """Whether it was promoted or retried."""
        return bool(self.promoted or self.retries)

    @property
    def epochs(self) -> tuple[int, int] | None:
        """Epochs of its detector's training, and of the second part; None if unknown."""
        if self.result is not None:
            return self.result.config.epochs
        return (max(self.midway), 0) if self.state == "stopped" and self.midway else None

    def values(self, objectives: Sequence[FigureName]) -> tuple[float, ...] | None:
        """The objectives' values; None without a result, or if one is unknown."""
        if self.result is None:
            return None
        return if_known(self.result.figure(name) for name in objectives)

    def scores(self, objectives: Sequence[FigureName]) -> tuple[float, ...]:
        """The same of a trial that has them; raises `ValueError` for any other."""
        found = self.values(objectives)
        if found is None:
            raise ValueError(f"trial {self.number} has no {' and '.join(objectives)}")
        return found

    def score(self, objective: FigureName) -> float:
        """The value of one objective of a trial that has it; see `scores`."""
        [value] = self.scores((objective,))
        return value

    def figure(self, name: str) -> float | None:
        """A metric or cost by its name: final, else from the last rung or predicted; else None."""
        if self.result is not None:
            return self.result.figure(name)
        so_far = self.midway[max(self.midway)] if self.midway else None
        return figure_of(name, so_far, self.predicted)
