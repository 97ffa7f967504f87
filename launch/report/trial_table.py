"""All trials of a study as a table: what each is, how it ended, its figures and its choices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.figures import FIGURES, FigureName
from launch.records import TRAINING, TrialRecord
from launch.report.front_file import BOUNDS, cells_of, member_of
from launch.report.study import StudyView
from searchspace.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

WRITERS = {".csv": "to_csv", ".parquet": "to_parquet"}
"""By ending of a file, what writes a table to it."""

ABOUT = (
    "number", "state", "on_front", "origin", "reason", "parent", "seconds", "retries", "folder",
    "design", "predicted_fps",
)  # fmt: skip
"""The columns before the figures."""


def trial_table(records: Sequence[TrialRecord], objectives: tuple[FigureName, ...]) -> DataFrame:
    """A row for each trial, by number. Figures of a trial that has not finished are those of its
    last rung, or predicted; what is not known is missing.

    The columns are, in this order: what the trial is and how it ended (`number`, `state`,
    `on_front`, `reason`, ...), every figure, the ends of 95 % intervals, its epochs, and the
    parameters that were drawn.
    """
    from pandas import DataFrame  # loads for half a second

    rows = trial_rows(StudyView.of(records, objectives))
    params = dict.fromkeys(name for record in records for name in record.params)
    return DataFrame(rows, columns=[*ABOUT, *FIGURES, *BOUNDS, *TRAINING, *params])


def trial_rows(view: StudyView) -> list[dict[str, Any]]:
    """The rows of `trial_table`, each by its columns."""
    front = {record.number for record in view.front}
    return [_row(view, record, record.number in front) for record in view.records]


def write_table(table: DataFrame, file: Path) -> None:
    """Write a table as CSV or Parquet, by the file's ending.

    Raises:
        InputError: the file has another ending.
    """
    writer = WRITERS.get(file.suffix.lower())
    if writer is None:
        raise InputError(f"{file}: the file has to end in {' or '.join(WRITERS)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    getattr(table, writer)(file, index=False)


def _row(view: StudyView, record: TrialRecord, on_front: bool) -> dict[str, Any]:
    if record.result is not None:
        figures = cells_of(member_of(record, tuple(FIGURES)))
    else:
        figures = {name: record.figure(name) for name in FIGURES}
    cost = record.predicted
    parent = None if record.parent is None else str(record.parent)
    about = (
        record.number, record.state, on_front, record.origin, record.why, parent,
        record.seconds, record.retries, record.folder, view.in_words(record),
        cost.fps if cost else None,
    )  # fmt: skip
    return {**figures, **dict(zip(ABOUT, about, strict=True)), **record.params}
