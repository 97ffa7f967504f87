"""What a study knows of each trial; what reports are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.figures import Figure
from launch.trial.result import TrialResult
from searchspace import TrialConfig

State = Literal["running", "finished", "failed", "infeasible", "gated", "stopped"]
"""Where a trial stands. Before they were trained, `infeasible` ones broke a constraint by what they
would cost, and `gated` ones could not reach the front any more; `stopped` ones were not worth more
training than they had."""

UNTRAINED: tuple[State, ...] = ("infeasible", "gated")
"""States of trials that ended before training."""

EARLY: tuple[State, ...] = (*UNTRAINED, "stopped")
"""States of trials that ended before their end, by the study's decision."""

TRAINING = ("epochs", "finetune_epochs", "still_rising")
"""Columns of `front.csv` that say how a trial was trained: no parameters, and no figures."""

Param = bool | int | float | str | None
"""A parameter as Optuna has it."""

Origin = Literal["baseline", "paper", "ladder", "sampler"]


class TrialRecord(BaseModel):
    """One trial of a study.

    Attributes:
        number: its place in the study, from 0.
        folder: where its artefacts lie, relative to the study's folder.
        origin: `baseline` for the unpruned stock detector, `paper` for a published system moved
            to the space's sizes, `ladder` for a trial's detector pruned at another ratio,
            `sampler` for all others.
        params: the parameters that draw `config` from the space, inheritance apart.
        parent: the trial from whose trained detector this one's training started.
        reason: why it failed, or ended early.
        lasting: it failed by its configuration, so it would fail again.
        predicted: what its detector was to cost, known before training.
        midway: what a snapshot of its detector scored, by epochs of training; without classes.
        promoted: the last rung that it stood at when it was given another chance.
        retries: how often it was tried again after it had failed.
        growth: how far AP_small of others had grown from the rung that it was stopped at to their
            end; None where none had ended.
        broken: the constraints of the study that its detector does not keep to.
        seconds: wall time of the attempts that ended it, without waiting for a place to run.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    folder: str
    origin: Origin
    params: dict[str, Param]
    config: TrialConfig
    parent: int | None = None
    state: State = "running"
    result: TrialResult | None = None
    reason: str | None = None
    lasting: bool = False
    predicted: Cost | None = None
    midway: dict[int, Metrics] = {}
    promoted: int = 0
    retries: int = 0
    growth: float | None = None
    broken: tuple[str, ...] = ()
    seconds: float = 0.0

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
