"""Weight inheritance: training from the most similar trained detector. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from launch.records import TrialRecord
from searchspace import DetectorConfig, TrialConfig
from searchspace.trial import training_cause

SHARE = 0.5
"""Share of the epochs that a trial with inherited weights is trained for."""


def descend(config: TrialConfig, records: Sequence[TrialRecord]) -> tuple[TrialConfig, int | None]:
    """The configuration to train, and the number of its parent trial.

    If another trial differs only after the training, its training is shared.

    Args:
        config: as drawn from the space.
        records: the study's trials.
    """
    for record in records:
        if training_cause(record.as_drawn) == training_cause(config):
            return config.changed(train=record.config.train), record.parent
    parent = nearest(config.detector, records)
    try:
        return (heir(config), parent.number) if parent else (config, None)
    except ValidationError:
        # The recipe does not allow so few epochs.
        return config, None


def heir(config: TrialConfig) -> TrialConfig:
    """A drawn configuration with the epochs for training from inherited weights.

    Raises:
        ValidationError: the recipe does not allow so few epochs.
    """
    epochs = max(1, round(SHARE * config.train.epochs))
    return config.changed(train=config.train.changed(epochs=epochs))


def nearest(detector: DetectorConfig, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The finished trial whose dense detector differs in the fewest fields; None if there is none.

    Only trials with a backbone of the same family and width are considered. Of equally similar
    ones, the one with the highest AP_small is taken, then the first.
    """
    relatives = [
        (distance(record.config.detector, detector), -score, record.number, record)
        for record in records
        if record.result is not None
        and (score := record.result.dense.metrics.ap_small) is not None
        and record.config.detector.backbone.family == detector.backbone.family
        and record.config.detector.width == detector.width
    ]
    return min(relatives)[-1] if relatives else None


def distance(a: DetectorConfig, b: DetectorConfig) -> int:
    """The number of fields in which two detectors differ, including fields that only one has."""
    one, two = _leaves(a.model_dump()), _leaves(b.model_dump())
    return sum(one.get(path, ...) != two.get(path, ...) for path in one.keys() | two.keys())


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The values of nested mappings and sequences by their paths."""
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    else:
        return {path: tree}
    return {k: v for name, value in items for k, v in _leaves(value, f"{path}.{name}").items()}
