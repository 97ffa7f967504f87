"""Papers' systems among the trials of a study, beside their published figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.figures import show_published, trials_figure
from launch.records import TrialRecord
from launch.report.epochs import marked_epochs
from launch.study.settings import StudySettings
from searchspace.given import GivenTrials, restored
from searchspace.papers import system_named
from searchspace.papers.tables import COCO, RECALL, TABLES, Row

FIGURES = (*COCO, "ar", *RECALL, "voc_map", "tt100k_map", "fps", "params")
"""Published figures in the order of columns."""


@dataclass(frozen=True)
class Compared:
    """A paper's system beside its trial.

    Attributes:
        record: its trial; None if that was not begun.
        source: where the published figures are from.
        published, ours: by the name of the published figure; None where there is none.
    """

    system: str
    record: TrialRecord | None
    source: str
    published: Mapping[str, float | None]
    ours: Mapping[str, float | None]

    @property
    def state(self) -> str:
        """How its trial went, in words."""
        record = self.record
        if record is None:
            return "not begun"
        if record.result is None:
            why = f": {record.reason}" if record.reason else ""
            return f"trial {record.number} {record.state}{why}"
        return f"trial {record.number}, {marked_epochs(record)} epochs"


@dataclass(frozen=True)
class Comparison:
    """All of them.

    Attributes:
        figures: the published figures that some of them have.
        notes: sentences on what is compared.
    """

    title: str
    notes: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[Compared, ...]


def comparison(settings: StudySettings, records: Sequence[TrialRecord]) -> Comparison | None:
    """The papers' systems of a study; None if it has none."""
    space = restored(settings.space)
    by_digest = {record.as_drawn.digest(): record for record in records}
    if isinstance(space, GivenTrials):
        found = {name: by_digest.get(own.digest()) for name, own in space.configs.items()}
        if space.table is not None:
            return _of_table(space.table, found)
        return _of_systems(found, ())
    if not any(record.origin == "paper" for record in records):
        return None
    named = ((config.digest(), names) for config, names in space.systems().items())
    own = {name: by_digest[key] for key, names in named if key in by_digest for name in names}
    return _of_systems(
        own, (f"Each system is moved to the nearest configuration of the space {space.name}.",)
    )


def comparison_json(compared: Comparison) -> str:
    """The text of `published.json`."""
    return json.dumps(as_tree(compared), indent=1)


def as_tree(compared: Comparison) -> dict[str, Any]:
    """A comparison as JSON."""
    return {
        "title": compared.title,
        "notes": list(compared.notes),
        "rows": [
            {
                "system": row.system,
                "trial": row.record.number if row.record else None,
                "state": row.record.state if row.record else None,
                "epochs": row.record.epochs if row.record else None,
                "source": row.source,
                "published": dict(row.published),
                "ours": dict(row.ours),
            }
            for row in compared.rows
        ],
    }


def comparison_csv(compared: Comparison) -> str:
    """The text of `published.csv`: each figure as published, and ours."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    pairs = [f"{name}_{whose}" for name in compared.figures for whose in ("published", "ours")]
    writer.writerow(["system", "trial", "state", *pairs, "source"])
    for row in compared.rows:
        number, state = (row.record.number, row.record.state) if row.record else (None, None)
        values = [v for name in compared.figures for v in (row.published[name], row.ours[name])]
        writer.writerow([row.system, number, state, *values, row.source])
    return text.getvalue()


def _of_table(name: str, found: Mapping[str, TrialRecord | None]) -> Comparison:
    table = TABLES[name]
    rows = [row for row in table.rows if row.system in found]
    return Comparison(
        title=f"{name}: {table.title}",
        notes=(f"Published: {table.source}; trained and scored on {table.data}.", _OURS),
        figures=table.figures,
        rows=tuple(_compared(row, found[row.system], table.figures, table.source) for row in rows),
    )


def _of_systems(
    found: Mapping[str, TrialRecord | None], notes: tuple[str, ...]
) -> Comparison | None:
    systems = {name: system for name in found if (system := system_named(name)) is not None}
    if not systems:
        return None
    given = [vars(system.published) for system in systems.values()]
    figures = tuple(name for name in FIGURES if any(one[name] is not None for one in given))
    rows = tuple(
        _compared(Row(name), found[name], figures, system.published.source)
        for name, system in systems.items()
    )
    return Comparison("Published figures beside ours", (*notes, _OURS), figures, rows)


_OURS = "First line: as published; second line: ours, on this study's data and device."


def _compared(
    row: Row, record: TrialRecord | None, figures: Sequence[str], source: str
) -> Compared:
    return Compared(
        row.system,
        record,
        source,
        {name: row.published(name) for name in figures},
        {name: _ours(record, name) for name in figures},
    )


def _ours(record: TrialRecord | None, published: str) -> float | None:
    name = trials_figure(published)
    return None if record is None or record.result is None or name is None else record.figure(name)


def shown_cells(values: Mapping[str, float | None], figures: Sequence[str]) -> Iterator[str]:
    """The cells of a row, figure by figure."""
    return (show_published(name, values[name]) for name in figures)
