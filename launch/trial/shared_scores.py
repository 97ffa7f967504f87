"""What is asked of shared weights, and the scores that designs reached with them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.evaluate import Metrics
from detectors.training.shared_tensors import have_all
from searchspace.detector import DetectorConfig
from searchspace.trial import TrialConfig


class SharedTask(BaseModel):
    """What is to be trained and scored.

    Attributes:
        baseline: its recipe is that of the training.
        designs: those that share the weights, in the order in which they are scored.
        steps, seconds: see `Course`.
        scoring: after so many seconds, no further design is scored; None for no limit.
        device: as in `run_trial`.
        weights: a folder or file with published weights; None downloads them.
    """

    model_config = ConfigDict(frozen=True)

    baseline: TrialConfig
    designs: tuple[TrialConfig, ...]
    steps: int
    seconds: float | None = None
    scoring: float | None = None
    seed: int = 0
    device: str | None = None
    weights: Path | None = None


class SharedScore(BaseModel):
    """A design, and what it reached with shared weights.

    Attributes:
        config: the trial that it was drawn as.
        metrics: of the unpruned detector, without classes.
        params, macs: its costs.
    """

    model_config = ConfigDict(frozen=True)

    config: TrialConfig
    metrics: Metrics
    params: int
    macs: int


class SharedTensors(BaseModel):
    """Trained weights of which designs take slices.

    Attributes:
        stage: name of the folder with the tensors, among those of the stages.
        shapes: of the tensors, by their keys.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    shapes: dict[str, tuple[int, ...]]

    def have_all(self, config: DetectorConfig) -> bool:
        """Whether a design finds all its weights among them."""
        return have_all(self.shapes, config)


class SharedScores(BaseModel):
    """The scores of a search's designs.

    Attributes:
        steps: of the training.
        drawn: designs that share the weights; of these, some may have no score.
        training, scoring: seconds.
        tensors: the weights; None in a file of an earlier version.
    """

    model_config = ConfigDict(frozen=True)

    scores: tuple[SharedScore, ...]
    steps: int
    drawn: int
    training: float
    scoring: float
    tensors: SharedTensors | None = None

    @property
    def stage(self) -> str | None:
        """The folder with the weights, see `SharedTensors`."""
        return None if self.tensors is None else self.tensors.stage

    @property
    def seconds(self) -> float:
        return self.training + self.scoring
