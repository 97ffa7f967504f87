"""What comes of a trial, as its folder keeps it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.evaluate import Metrics
from detectors.runtimes.agreement import Agreement
from detectors.timing.cost import Cost
from launch.trial.ancestor import Ancestor
from searchspace.reading import read_model
from searchspace.trial import TrialConfig

RESULT = "result.json"


class Outcome(BaseModel):
    """What a detector scores and costs."""

    model_config = ConfigDict(frozen=True)

    metrics: Metrics
    cost: Cost

    def figure(self, name: str) -> float | None:
        """A metric or cost by its name, e.g. `ap_small` or `fps`."""
        return getattr(self.metrics if name in Metrics.model_fields else self.cost, name)


class TrialResult(BaseModel):
    """The end of a trial.

    Attributes:
        config: the whole cause of it, data and ancestor apart.
        dense: the detector after `train.epochs`.
        compact: the detector after its second part: pruned and fine-tuned, or trained on with all
            of its channels; None if the trained detector was left as it was.
        ancestor: what its training started from, where that is another trained detector.
        predicted: what the final one would cost, as measured before training.
        removed_share: share of the prunable channels that went.
        trained: key of the dense detector's artefact in the store of stages.
        seconds: wall time of the run that ended it; stages that were there already take none.
        quantised: what int8 finds on validation images beside what it was made from; None where
            nothing was quantised.
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

    @property
    def final(self) -> Outcome:
        """The outcome of the detector that would be deployed."""
        return self.compact or self.dense

    def figure(self, name: str) -> float | None:
        """A metric or cost of the final detector by its name."""
        return self.final.figure(name)


def read_result(file: Path) -> TrialResult:
    """What a trial left in `result.json`; raises ValueError where that is damaged."""
    return read_model(file, TrialResult, "run the trial again, which writes it anew")
