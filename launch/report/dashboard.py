"""A study as Optuna's dashboard shows it: objectives by name in their own units, and every ending.

`optuna.log` in a study's folder is the sampler's, which learns from logarithms of speeds. What
people open is made anew in memory from the journal and the learning curves.
"""

from __future__ import annotations

import json
import time
import uuid
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import optuna
from optuna.artifacts import ArtifactMeta
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from launch.constraints import Constraint
from launch.figures import FIGURES, FigureName, directions, of_source
from launch.files import JOURNAL, MEMBERS
from launch.records import State, TrialRecord
from launch.report.history import Point, history, scalars
from launch.report.looks import looks_folder
from launch.report.progress import StudyFollower, View
from launch.report.trial_table import trial_rows
from launch.study.opening import worked_on
from launch.study.optuna_study import distributions_of
from launch.study.recovery import journal_gone
from launch.study.settings import StudyError
from searchspace.given import restored

EVERY = 5.0
"""Seconds between two looks at a study that a process works on."""

STATES: dict[State, TrialState] = {
    "finished": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "infeasible": TrialState.PRUNED,
    "gated": TrialState.PRUNED,
    "stopped": TrialState.PRUNED,
}
"""Optuna's names for how trials end."""

CONSTRAINTS = "constraints"
"""The system attribute of a trial in which the dashboard looks for them, in the order of the
study's attribute `bounds`."""

ARTIFACTS = "artifacts:"
"""How the names of Optuna's system attributes for artefacts begin."""

FIRST = ("state", "reason", "design", "on_front")
"""The attributes that come first, as few are seen without scrolling."""

READ_ONLY = "the dashboard of a run is for reading"
NO_RECORD = "the journal has no such trial"


class Pictures:
    """The pictures of a study's report as Optuna's artefacts, for reading.

    Their names cannot be guessed, as the dashboard lets pages of other hosts read artefacts.
    """

    def __init__(self) -> None:
        self._space = uuid.uuid4()
        self._files: dict[str, Path] = {}

    def of(self, study: Path, record: TrialRecord) -> dict[str, str]:
        """The system attributes of a trial that name its pictures."""
        attributes = {}
        for file in sorted(looks_folder(study, record).glob("*.jpg")):
            name = str(uuid.uuid5(self._space, str(file)))
            self._files[name] = file
            meta = ArtifactMeta(name, file.name, "image/jpeg", None)
            attributes[f"{ARTIFACTS}{name}"] = json.dumps(asdict(meta))
        return attributes

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """A picture; raises `ArtifactNotFound` if there is none, or none any more."""
        try:
            return self._files[artifact_id].open("rb")
        except (KeyError, FileNotFoundError):
            raise ArtifactNotFound(artifact_id) from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Refuse: the dashboard changes nothing."""
        raise PermissionError(READ_ONLY)

    def remove(self, artifact_id: str) -> None:
        """Refuse: the dashboard changes nothing."""
        raise PermissionError(READ_ONLY)


class Mirror:
    """A study in Optuna's form, which follows the study's folder.

    Attributes:
        pictures: those of its trials.

    Raises:
        StudyError: there is no study in the folder, or its journal is gone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._follower = StudyFollower(folder)
        if not (folder / JOURNAL).exists():
            raise StudyError(journal_gone(folder))
        self.pictures = Pictures()
        self._seen: tuple[object, ...] | None = None
        self._storage = InMemoryStorage()

    def storage(self) -> InMemoryStorage:
        """The study as it is now; the same object as before if nothing has changed."""
        holder = worked_on(self._folder)
        files = [self._folder / name for name in (JOURNAL, MEMBERS)]
        times = [file.stat().st_mtime_ns for file in files if file.exists()]
        turn = time.monotonic() // EVERY if holder else None
        seen = (*times, holder, turn)
        if seen != self._seen:
            self._seen, self._storage = seen, in_optuna(self._follower.look(), self.pictures)
        return self._storage


def in_optuna(view: View, pictures: Pictures) -> InMemoryStorage:
    """A storage with the study alone, whose trials have their own numbers."""
    storage, settings = InMemoryStorage(), view.settings
    objectives = settings.goal.objectives
    study = optuna.create_study(
        storage=storage, study_name=settings.title, directions=directions(objectives)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([FIGURES[name].heading for name in objectives])
    for name, value in _about(view).items():
        study.set_user_attr(name, value)
    points: dict[int, list[Point]] = defaultdict(list)
    for point in history(view.folder, view.trials.records):
        points[point.number].append(point)
    drawn, there = distributions_of(restored(settings.space)), 0
    for record, row in zip(view.trials.records, trial_rows(view.trials), strict=True):
        for _ in range(there, record.number):
            study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"reason": NO_RECORD}))
        trial = _trial(record, row, points[record.number], view, drawn)
        trial.system_attrs.update(pictures.of(view.folder, record))
        study.add_trial(trial)
        there = record.number + 1
    return storage


def _about(view: View) -> dict[str, Any]:
    """What is said of the study beside its trials."""
    settings = view.settings
    return {
        "folder": str(view.folder),
        "bounds": [str(bound) for bound in settings.goal.constraints],
        "intermediate values": FIGURES[curve_of(settings.goal.objectives)].label,
    }


def curve_of(objectives: tuple[FigureName, ...]) -> FigureName:
    """The figure whose values on the way are shown: the first objective that is a metric."""
    return next(iter(of_source("metrics", objectives)), "ap")


def _trial(
    record: TrialRecord,
    row: dict[str, Any],
    points: list[Point],
    view: View,
    drawn: Mapping[str, BaseDistribution],
) -> FrozenTrial:
    goal = view.settings.goal
    objectives = goal.objectives
    runs = (record.name or str(record.number)) in {trial.name for trial in view.running}
    values, reason = record.values(objectives), record.why
    state = STATES.get(record.state, TrialState.RUNNING if runs else TrialState.WAITING)
    if state == TrialState.COMPLETE and values is None:
        unknown = [n for n in objectives if record.finished.figure(n) is None]
        state, reason = TrialState.FAIL, f"no {' and no '.join(unknown)} on these data"
    curve = f"metrics/{curve_of(objectives)}"
    trial = create_trial(
        state=state,
        values=values if state == TrialState.COMPLETE else None,
        params=record.params,
        distributions={path: drawn[path] for path in record.params},
        intermediate_values={one.step: one.value for one in scalars(points) if one.name == curve},
        system_attrs={CONSTRAINTS: _violations(record, goal.constraints)},
        user_attrs=_attributes(record, row, reason),
    )
    _set_times(trial, view.folder, record, points)
    return trial


def _attributes(record: TrialRecord, row: dict[str, Any], reason: str) -> dict[str, Any]:
    """The row of the table of trials, without what is not known and what is shown elsewhere."""
    first = {name: row[name] for name in FIRST} | {"reason": reason}
    shown = first | {name: value for name, value in row.items() if name not in first}
    elsewhere = {"number", *record.params}
    return {
        name: value
        for name, value in shown.items()
        if value not in (None, "") and name not in elsewhere
    }


def _violations(record: TrialRecord, bounds: tuple[Constraint, ...]) -> list[float]:
    """How far a trial is beyond each bound, as a share of it; not above 0 where it is kept.

    A figure that is not known yet breaks no bound.
    """
    values = [record.figure(bound.figure) for bound in bounds]
    return [
        bound.violation(value) if record.result or value is not None else 0.0
        for bound, value in zip(bounds, values, strict=True)
    ]


def _set_times(trial: FrozenTrial, folder: Path, record: TrialRecord, points: list[Point]) -> None:
    """Set when a trial began and ended: by its learning curve, or else by its folder."""
    if trial.datetime_start is None:
        return
    if points:
        last = max(point.time for point in points)
    else:
        place = folder / record.folder
        last = (place if place.exists() else folder).stat().st_mtime
    begun = last - record.seconds if record.ending else min((p.time for p in points), default=last)
    trial.datetime_start = datetime.fromtimestamp(begun)
    if trial.datetime_complete is not None:
        trial.datetime_complete = datetime.fromtimestamp(last)
