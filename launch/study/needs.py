"""Trials that need the detectors of others of their study, as students need their teachers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from launch.files import trained_folder
from launch.records import TrialRecord
from searchspace import Space, TrialConfig


def is_ready(space: Space, config: TrialConfig, records: Iterable[TrialRecord]) -> bool:
    """Whether all trials have ended whose detectors a trial needs."""
    needed = _needed(space, config, records)
    return all(record is not None and record.ending is not None for record in needed.values())


def missing_in_words(space: Space, record: TrialRecord, records: Iterable[TrialRecord]) -> str:
    """The trials in words without whose detectors a trial cannot run; empty if it can."""
    return "; ".join(
        f"it needs the detector {name}, but trial {other.number} {other.state}"
        for name, other in _needed(space, record.config, records).items()
        if other is not None and other.result is None
    )


def detectors(
    space: Space, record: TrialRecord, records: Iterable[TrialRecord], study: Path
) -> dict[str, Path]:
    """By name, the folders of the detectors of other trials that a trial needs."""
    return {
        name: study / other.folder / trained_folder(other.config)
        for name, other in _needed(space, record.config, records).items()
        if other is not None
    }


def _needed(
    space: Space, config: TrialConfig, records: Iterable[TrialRecord]
) -> dict[str, TrialRecord | None]:
    """By the names of the detectors that a trial needs, the trials that make them."""
    needed = space.needs(config)
    if not needed:
        return {}
    there = {record.as_drawn.digest(): record for record in records}
    return {name: there.get(other.digest()) for name, other in needed.items()}
