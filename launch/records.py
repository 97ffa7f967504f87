"""What a study knows of each trial; what reports are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from launch.objectives import Figure
from launch.trial import TrialResult
from searchspace import TrialConfig

State = Literal["running", "finished", "failed"]
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
        params: the parameters that draw `config` from the space.
        reason: why it failed.
        broken: the constraints of the study that its detector does not keep to.
        seconds: wall time of the attempt that ended it, without waiting for a place to run.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    folder: str
    origin: Origin
    params: dict[str, Param]
    config: TrialConfig
    state: State = "running"
    result: TrialResult | None = None
    reason: str | None = None
    broken: tuple[str, ...] = ()
    seconds: float = 0.0

    def values(self, objectives: Sequence[Figure]) -> tuple[float, ...] | None:
        """The objectives' values; None where one is not known."""
        found = tuple(self.result.figure(name) for name in objectives) if self.result else (None,)
        return None if None in found else found
