"""Weight inheritance: training from slices of shared weights, or else from the most similar trained
detector. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from launch.decisions.account import Account
from launch.records import SHARED, Parent, TrialRecord
from launch.trial.shared_scores import SharedTensors
from searchspace import DetectorConfig, TrialConfig
from searchspace.training import TrainConfig
from searchspace.trial import training_cause

SHARE = 0.5
"""Share of the epochs that a trial with inherited weights is trained for."""


def heir(config: TrialConfig) -> TrialConfig:
    """A drawn configuration with the epochs for training from inherited weights.

    Raises:
        ValidationError: the recipe does not allow so few epochs.
    """
    epochs = max(1, round(SHARE * config.train.epochs))
    return config.changed(train=config.train.changed(epochs=epochs))


@dataclass(frozen=True)
class Design:
    """A detector's configuration.

    Attributes:
        fields: the values of its fields by their paths.
    """

    fields: Mapping[str, Any]

    @classmethod
    def of(cls, detector: DetectorConfig) -> Self:
        return cls(_leaves(detector.model_dump()))

    def distance(self, other: Design) -> int:
        """The number of fields in which two differ, including fields that only one has."""
        equal = self.fields.items() & other.fields.items()
        return len(self.fields.keys() | other.fields.keys()) - len(equal)


class Ancestry(Account):
    """Finds what a trial of a study inherits."""

    def __init__(self) -> None:
        # What was drawn, by what determines the training: how it is trained, and from what.
        self._trainings: dict[tuple[Any, ...], tuple[TrainConfig, Parent | None]] = {}
        self._shared: SharedTensors | None = None
        self._relatives: dict[tuple[str, float], list[tuple[float, int, Design]]] = {}

    def share(self, tensors: SharedTensors | None) -> None:
        """From now on, designs that find all their weights among these start from them."""
        self._shared = tensors

    def note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        if before is None:
            cause = training_cause(record.as_drawn)
            self._trainings.setdefault(cause, (record.config.train, record.parent))
        if record.result is None or (before is not None and before.result is not None):
            return
        score, detector = record.result.dense.metrics.ap_small, record.config.detector
        if score is not None:
            one = -score, record.number, Design.of(detector)
            self._relatives.setdefault(_kind(detector), []).append(one)

    def descend(self, config: TrialConfig) -> tuple[TrialConfig, Parent | None]:
        """The configuration to train, and what it inherits its weights from.

        If another trial differs only after the training, its training is shared.

        Args:
            config: as drawn from the space.
        """
        if shared := self._trainings.get(training_cause(config)):
            train, parent = shared
            return config.changed(train=train), parent
        has_slices = self._shared is not None and self._shared.have_all(config.detector)
        parent = SHARED if has_slices else self.nearest(config.detector)
        try:
            return (config if parent is None else heir(config)), parent
        except ValidationError:
            # The recipe does not allow so few epochs.
            return config, None

    def nearest(self, detector: DetectorConfig) -> int | None:
        """The finished trial whose dense detector differs in the fewest fields; None if there is
        none.

        Only trials with a backbone of the same family and width are considered. Of equally similar
        ones, the one with the highest AP_small is taken, then the first.
        """
        design, relatives = Design.of(detector), self._relatives.get(_kind(detector), ())
        near = ((design.distance(other), score, number) for score, number, other in relatives)
        return min(near, default=(0, 0, None))[-1]


def _kind(detector: DetectorConfig) -> tuple[str, float]:
    return detector.backbone.family, detector.width


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The values of nested mappings and sequences by their paths."""
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    else:
        return {path: tree}
    return {k: v for name, value in items for k, v in _leaves(value, f"{path}.{name}").items()}
