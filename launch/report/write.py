"""`write_report`: every file of a report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors.files import write_atomically
from launch.figures import DEFAULT, FigureName
from launch.files import FRONT_CSV, FRONT_JSON, PUBLISHED_CSV, PUBLISHED_JSON, REPORT_HTML
from launch.records import TrialRecord
from launch.report.front_file import front_csv, front_json, front_of
from launch.report.page import NOTHING_MORE, About, page
from launch.report.published import comparison_csv, comparison_json
from launch.report.study import StudyView


@dataclass(frozen=True)
class ReportFiles:
    """The paths of a report's files."""

    html: Path
    json: Path
    csv: Path


def write_report(
    folder: Path | str,
    records: Sequence[TrialRecord],
    *,
    title: str,
    facts: Mapping[str, str],
    objectives: tuple[FigureName, ...] = DEFAULT,
    about: About = NOTHING_MORE,
    out: Path | None = None,
) -> ReportFiles:
    """Write `report.html`, `front.json` and `front.csv` of a study, each of them atomically.

    The page is a single file without network requests. A study without a finished trial gets a
    report that says so.

    Args:
        folder: the study's; the page's commands use it as given here.
        records: all trials, in any state.
        title: the page's heading.
        objectives: the objectives of the front.
        facts: further facts for the reader by name, e.g. data, space and hardware.
        about: what else the report says; where papers' systems are compared, `published.json` and
            `published.csv` are written as well.
        out: where the files are written, if not into the study's folder.
    """
    folder, view = Path(folder), StudyView.of(records, objectives)
    out = folder if out is None else out
    files = ReportFiles(out / REPORT_HTML, out / FRONT_JSON, out / FRONT_CSV)
    filed = view if out == folder else StudyView.of(_filed(view.records, folder, out), objectives)
    write_atomically(files.json, front_json(front_of(filed)))
    write_atomically(files.csv, front_csv(filed))
    if about.compared:
        write_atomically(out / PUBLISHED_JSON, comparison_json(about.compared))
        write_atomically(out / PUBLISHED_CSV, comparison_csv(about.compared))
    write_atomically(files.html, page(view, folder, title, facts, about))
    return files


def _filed(records: Sequence[TrialRecord], folder: Path, out: Path) -> Sequence[TrialRecord]:
    """The trials with their folders relative to that of the files."""
    way = Path(os.path.relpath(folder.resolve(), out.resolve()))
    return [r.model_copy(update={"folder": (way / r.folder).as_posix()}) for r in records]
