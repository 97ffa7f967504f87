"""What a study knows of each trial; what reports are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.figures import Figure
from launch.trial.result import TrialResult
from searchspace import TrialConfig
from searchspace.trial import training_cause


class _Ending(BaseModel):
    """How a trial ended.

    Attributes:
        early: by the study's decision, before it came to a result.
        trained: its training had begun.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    early: ClassVar[bool] = False
    trained: ClassVar[bool] = True


class Finished(_Ending):
    """It came to a result.

    Attributes:
        broken: the constraints of the study that its detector breaks.
    """

    state: Literal["finished"] = "finished"
    result: TrialResult
    broken: tuple[str, ...] = ()


class Failed(_Ending):
    """It came to no result.

    Attributes:
        lasting: its configuration is to blame, so it would fail again.
    """

    state: Literal["failed"] = "failed"
    reason: str
    lasting: bool = False


class Infeasible(_Ending):
    """It was not trained, since by its predicted cost it breaks constraints.

    Attributes:
        broken: these constraints.
    """

    early: ClassVar[bool] = True
    trained: ClassVar[bool] = False

    state: Literal["infeasible"] = "infeasible"
    broken: tuple[str, ...]


class Gated(_Ending):
    """It was not trained, since it could not reach the front any more."""

    early: ClassVar[bool] = True
    trained: ClassVar[bool] = False

    state: Literal["gated"] = "gated"
    reason: str


class Stopped(_Ending):
    """It was not worth more training than it had; it may be given another chance.

    Attributes:
        growth: how far AP_small of others had grown from the rung that it was stopped at to their
            end; None where none had ended.
    """

    early: ClassVar[bool] = True

    state: Literal["stopped"] = "stopped"
    reason: str
    growth: float | None = None


Ending = Annotated[Finished | Failed | Infeasible | Gated | Stopped, Field(discriminator="state")]

State = Literal["finished", "running", "failed", "infeasible", "gated", "stopped"]
"""Where a trial stands: `running` until it ends, then as its ending says."""

STATES: tuple[State, ...] = get_args(State)
"""In the order of reports."""

_ENDINGS = {e.model_fields["state"].default: e for e in get_args(get_args(Ending)[0])}

EARLY: tuple[State, ...] = tuple(state for state, ending in _ENDINGS.items() if ending.early)
"""States of trials that the study ended before they came to a result."""

UNTRAINED: tuple[State, ...] = tuple(s for s, ending in _ENDINGS.items() if not ending.trained)
"""States of trials that were ended before training."""

TRAINING = ("epochs", "finetune_epochs", "still_rising")
"""Columns of `front.csv` that say how a trial was trained: no parameters, and no figures."""

Param = bool | int | float | str | None
"""A parameter as Optuna has it."""

Origin = Literal["baseline", "paper", "ladder", "sampler"]

REFERENCES: tuple[Origin, ...] = ("baseline", "paper")
"""Origins of trials that a front is read against: they are trained whatever is expected of them."""


class TrialRecord(BaseModel):
    """One trial of a study.

    Attributes:
        number: its place in the study, from 0.
        folder: where its artefacts lie, relative to the study's folder.
        origin: `baseline` for the unpruned stock detector, `paper` for a published system moved
            to the space's sizes, `ladder` for a trial's detector pruned at another ratio,
            `sampler` for all others.
        params: the parameters that draw its configuration from the space.
        config: the configuration that is trained.
        drawn: what the space drew, where that is something else: an heir is trained for fewer
            epochs.
        parent: the trial from whose trained detector this one's training starts.
        ending: how it ended; None while it runs, or waits to be run again.
        predicted: what its detector was to cost, known before training.
        midway: what a snapshot of its detector scored, by epochs of training; without classes.
        promoted: the last rung that it stood at when it was given another chance.
        retries: how often it was tried again after it had failed.
        seconds: wall time of the attempts that ended it, without waiting for a place to run.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    folder: str
    origin: Origin
    params: dict[str, Param]
    config: TrialConfig
    drawn: TrialConfig | None = None
    parent: int | None = None
    ending: Ending | None = None
    predicted: Cost | None = None
    midway: dict[int, Metrics] = {}
    promoted: int = 0
    retries: int = 0
    seconds: float = 0.0

    def ended(self, ending: Ending, seconds: float) -> TrialRecord:
        """This trial after an attempt of so many seconds that ended it."""
        return self.model_copy(update={"ending": ending, "seconds": self.seconds + seconds})

    def promoted_from(self, rung: int) -> TrialRecord:
        """This stopped trial with another chance, after the rung that it was stopped at."""
        return self.model_copy(update={"ending": None, "promoted": rung})

    def tried_again(self) -> TrialRecord:
        """This failed trial, to be run again."""
        return self.model_copy(update={"ending": None, "retries": self.retries + 1})

    @property
    def as_drawn(self) -> TrialConfig:
        """The configuration that the space drew."""
        return self.drawn or self.config

    @property
    def training(self) -> tuple[Any, ...]:
        """What its training depends on: trials of a study that agree in it share one."""
        return *training_cause(self.config), self.parent

    @property
    def state(self) -> State:
        return self.ending.state if self.ending else "running"

    @property
    def result(self) -> TrialResult | None:
        """What it came to, if it did."""
        return self.ending.result if isinstance(self.ending, Finished) else None

    @property
    def reason(self) -> str | None:
        """Why it failed, or was ended early; None for others."""
        return getattr(self.ending, "reason", None)

    @property
    def broken(self) -> tuple[str, ...]:
        """The constraints of the study that its detector breaks."""
        return getattr(self.ending, "broken", ())

    @property
    def lasting(self) -> bool:
        """Whether it failed by its configuration, so that it would fail again."""
        return isinstance(self.ending, Failed) and self.ending.lasting

    @property
    def again(self) -> bool:
        """Whether it ran on after it had ended once."""
        return bool(self.promoted or self.retries)

    @property
    def epochs(self) -> tuple[int, int] | None:
        """Epochs of training that its detector had, and of what followed; None if not known."""
        if self.result is not None:
            return self.result.config.epochs
        return (max(self.midway), 0) if self.state == "stopped" and self.midway else None

    def values(self, objectives: Sequence[Figure]) -> tuple[float, ...] | None:
        """The objectives' values; None without a result, or where one is not known."""
        found = tuple(self.result.figure(name) for name in objectives) if self.result else (None,)
        return None if None in found else found

    def figure(self, name: str) -> float | None:
        """A metric or cost by its name, as far as it is known: measured, else so far, predicted."""
        if self.result is not None:
            return self.result.figure(name)
        so_far = self.midway[max(self.midway)] if self.midway else None
        return getattr(so_far if name in Metrics.model_fields else self.predicted, name, None)
