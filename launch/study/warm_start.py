"""Warm start: known results from an earlier study or a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch.records import TrialRecord
from launch.study.known import KnownResult, KnownResults
from launch.study.known_csv import read_rows
from launch.study.opening import read_records
from launch.study.settings import read_settings
from searchspace import OutsideSpace, Space
from searchspace.errors import InputError


class KnownError(InputError):
    """Known results that cannot be used; the message names file and fix."""


def read_known(source: Path, space: Space, figures: Sequence[str]) -> KnownResults:
    """The known results in a study's folder or a CSV file.

    Raises:
        KnownError, CsvError, StudyError: there are none that can be used.
    """
    if source.is_dir():
        return from_study(source, read_settings(source).fingerprint, space, figures)
    return from_csv(source, space, figures)


def from_study(
    folder: Path, fingerprint: str, space: Space, figures: Sequence[str]
) -> KnownResults:
    """The finished trials of a study that a space can express.

    Args:
        fingerprint: fingerprint of the study's data.
        figures: the figures that each must have.

    Raises:
        KnownError: there is none.
    """
    results, refused = [], []
    finished = [r for r in read_records(folder) if r.state == "finished"]
    for record in finished:
        try:
            results.append(_of_record(record, space, figures))
        except OutsideSpace as error:
            refused.append(f"trial {record.number}: {error}")
    why = refused[0] if refused else "no trial has finished"
    if not results:
        raise KnownError(f"{folder}: no result fits this search space ({why})")
    return KnownResults(
        source=str(folder),
        results=tuple(results),
        left_out=len(refused),
        why=why if refused else None,
        fingerprint=fingerprint,
        device=finished[0].finished.final.cost.device,
    )


def from_csv(file: Path, space: Space, figures: Sequence[str]) -> KnownResults:
    """The rows of a CSV file, whose columns are parameters of a space and figures.

    Raises:
        CsvError: see `read_rows`.
    """
    rows = read_rows(file, space, figures)
    results = tuple(KnownResult(params=params, figures=found) for params, found in rows)
    return KnownResults(source=str(file), results=results)


def _of_record(record: TrialRecord, space: Space, figures: Sequence[str]) -> KnownResult:
    found: dict[str, Any] = {name: record.finished.figure(name) for name in figures}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise OutsideSpace(f"it has no {missing[0]}")
    return KnownResult(params=space.to_params(record.config), figures=found)
