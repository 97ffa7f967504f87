"""Weight inheritance: a training that starts from the nearest trained relative. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from launch.records import TrialRecord
from searchspace import DetectorConfig, TrialConfig
from searchspace.trial import training_cause

SHARE = 0.5
"""Share of its epochs that an heir is trained for."""


def descend(config: TrialConfig, records: Sequence[TrialRecord]) -> tuple[TrialConfig, int | None]:
    """A configuration as it shall be trained, and the number of the trial that it starts from.

    One that differs from another trial only after the training is trained as that one is, so that
    they share the training.

    Args:
        config: as the space draws it.
        records: the study's trials.
    """
    for record in records:
        if training_cause(record.as_drawn) == training_cause(config):
            return config.changed(train=record.config.train), record.parent
    parent = nearest(config.detector, records)
    try:
        return (heir(config), parent.number) if parent else (config, None)
    except ValidationError:
        # So few epochs are no training by this recipe.
        return config, None


def heir(config: TrialConfig) -> TrialConfig:
    """A drawn configuration as it is trained from the weights of a relative.

    Raises:
        ValidationError: so few epochs are no training by this recipe.
    """
    epochs = max(1, round(SHARE * config.train.epochs))
    return config.changed(train=config.train.changed(epochs=epochs))


def nearest(detector: DetectorConfig, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The finished trial whose dense detector differs in the fewest fields; None without relatives.

    A relative has a backbone of the same kind and width. Of equally near ones the one of the
    highest AP_small is taken, then the first.
    """
    relatives = [
        record
        for record in records
        if record.state == "finished"
        and record.result.dense.metrics.ap_small is not None
        and record.config.detector.backbone.kind == detector.backbone.kind
        and record.config.detector.width == detector.width
    ]
    return min(
        relatives,
        key=lambda record: (
            distance(record.config.detector, detector),
            -record.result.dense.metrics.ap_small,
            record.number,
        ),
        default=None,
    )


def distance(a: DetectorConfig, b: DetectorConfig) -> int:
    """In how many fields two detectors differ; a field that one does not have counts as well."""
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
