"""The result of a trial, as stored in its folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.evaluate import Metrics
from detectors.runtimes.agreement import Agreement
from detectors.timing.cost import Cost
from detectors.training.compiling import Choice
from launch.figures import FIGURES, is_own
from launch.trial.ancestor import Ancestor
from launch.trial.memory import Fitted
from searchspace.reading import read_model
from searchspace.trial import TrialConfig

REPORTED = ""
"""The key of a detector that a trainer of one's own trained, which no store of ours holds."""


class Outcome(BaseModel):
    """Metrics and cost of a detector."""

    model_config = ConfigDict(frozen=True)

    metrics: Metrics
    cost: Cost

    def figure(self, name: str) -> float | None:
        """A metric or cost by its name, e.g. `ap_small` or `fps`; None if it is not known."""
        return figure_of(name, self.metrics, self.cost)


def figure_of(name: str, metrics: Metrics | None, cost: Cost | None) -> float | None:
    """A figure by its name, from what is known of a detector; None if it is not known."""
    holder = metrics if FIGURES[name].source == "metrics" else cost
    if holder is None:
        return None
    return holder.own.get(name) if is_own(name) else getattr(holder, name)


class TrialResult(BaseModel):
    """The result of a trial.

    Attributes:
        config: its configuration.
        dense: the detector after `train.epochs`.
        compact: the detector after the second part: pruned and fine-tuned, or unpruned and trained
            for as many more epochs; None if there was no second part.
        ancestor: the trained detector, or the shared weights, that its training started from, if
            any.
        predicted: the cost of the final detector as measured before training.
        removed_share: share of the prunable channels that was removed.
        trained: key of the dense detector's artefact in the store of stages; `REPORTED` where
            another trainer than Sparrow's reported the figures.
        seconds: wall time of the run that finished it; cached stages take none.
        quantised: agreement of the int8 detector with the float one on validation images; None
            without quantisation.
        fitted: how its batches fitted into memory; None where the configuration says in how many
            parts they are computed.
        workers: how many processes trained it together, in the run that finished it.
        steps: whether the steps of its trainings were compiled, and why, by detector (`dense`,
            `compact`); of several rounds, those of the last.
    """

    model_config = ConfigDict(frozen=True)

    config: TrialConfig
    dense: Outcome
    compact: Outcome | None
    removed_share: float
    seconds: float
    predicted: Cost
    trained: str
    ancestor: Ancestor | None = None
    quantised: Agreement | None = None
    fitted: Fitted | None = None
    workers: int = 1
    steps: dict[str, Choice] = {}

    @property
    def is_reported(self) -> bool:
        """Whether another trainer than Sparrow's reported the figures, and has the detector."""
        return self.trained == REPORTED

    @property
    def final(self) -> Outcome:
        """The outcome of the final detector, which would be deployed."""
        return self.compact or self.dense

    def figure(self, name: str) -> float | None:
        """A metric or cost of the final detector by its name."""
        return self.final.figure(name)


def read_result(file: Path) -> TrialResult:
    """Read `result.json` of a trial; raises ValueError if it is damaged."""
    return read_model(file, TrialResult, "run the trial again, which rewrites it")
