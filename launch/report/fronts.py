"""The front of a study in a row, to stand beside those of others."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from launch.figures import FigureName
from launch.report.facts import study_facts
from launch.report.study import StudyView
from launch.study.opening import read_records
from launch.study.settings import read_settings


class FrontSummary(BaseModel):
    """A study's front.

    Attributes:
        name: the study's folder.
        trials: those that finished.
        members: trials on the front.
        hypervolume: see `StudyView.hypervolume`.
        best: the best value of each objective on the front; None without a front.
        measured_on: the device of its speeds.
        fingerprint: of its data.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    trials: int
    members: int
    hypervolume: float | None
    best: dict[FigureName, float | None]
    measured_on: str
    fingerprint: str


def summary_of(folder: Path) -> FrontSummary:
    """The front of the study in a folder, from its journal.

    Raises:
        StudyError: there is no study, or its journal is missing.
    """
    settings, records = read_settings(folder), read_records(folder)
    view = StudyView.of(records, settings.goal.objectives)
    return FrontSummary(
        name=str(folder),
        trials=len(view.in_state("finished")),
        members=len(view.front),
        hypervolume=view.hypervolume,
        best={n: view.best(n).score(n) if view.front else None for n in view.objectives},
        measured_on=study_facts(settings, records)["Speed measured on"],
        fingerprint=settings.fingerprint,
    )
