"""What the sampler has been told: the Optuna study beside a study's journal."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from detectors.evaluate import Metrics
from launch.constraints import Constraint
from launch.figures import Figure, directions, scaled
from launch.records import TrialRecord
from launch.study.known import KnownResult
from launch.study.optuna_log import LogDamaged, OptunaLog
from launch.study.settings import TOLD_AS, StoppedAs
from searchspace import Space
from searchspace.domains import Domain

NAME = "sparrow"
"""Of the Optuna study in the log of each of ours."""

NUMBER = "number"
"""The user attribute by which one of Optuna's trials names the study's."""

KNOWN = "known"
"""The user attribute that numbers what is known from elsewhere."""

STATES = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "infeasible": TrialState.PRUNED,
    "gated": TrialState.PRUNED,
    "stopped": TrialState.PRUNED,
}
"""How a trial is told by its state. Samplers learn from PRUNED and never see FAIL."""


ENDING = "ending"
"""The user attribute that says in which state of the study's trial one of Optuna's was told."""

FigureOf = Callable[[str], float | None]
"""A figure of a detector by its name."""

logger = logging.getLogger(__name__)
optuna.logging.set_verbosity(optuna.logging.WARNING)


class Told:
    """An Optuna study in a file, which is mended from the journal's records when it is opened.

    Attributes:
        study: the Optuna study; its sampler may be exchanged.
    """

    def __init__(
        self,
        file: Path,
        space: Space,
        objectives: Sequence[Figure],
        constraints: Sequence[Constraint],
        records: Iterable[TrialRecord],
        stopped_as: StoppedAs = TOLD_AS,
    ) -> None:
        self._space = space
        self._objectives = objectives
        self._stopped_as = stopped_as
        self._constraints = constraints
        records = tuple(records)
        self.study = _opened(file, space, directions(objectives), records)
        self._reconcile(records)

    @property
    def numbers(self) -> set[int]:
        """The numbers of the study's trials that it was told of."""
        found = (t.user_attrs.get(NUMBER) for t in self.study.get_trials(deepcopy=False))
        return {number for number in found if number is not None}

    def claim(self, trial: optuna.Trial, number: int) -> None:
        """Note that one of Optuna's trials became the study's."""
        trial.set_user_attr(NUMBER, number)

    def end(self, record: TrialRecord) -> None:
        """Tell how a trial of the study ended.

        One that got another chance, or was tried again, was reported before; it is reported once
        more, under a new number.
        """
        told = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.user_attrs.get(NUMBER) == record.number
        ]
        asked = next((trial for trial in told if trial.state == TrialState.RUNNING), None)
        if asked is not None:
            self.tell(asked.number, record)
        elif record.again and record.state not in {t.user_attrs.get(ENDING) for t in told}:
            self.study.add_trial(self._as_optuna(record))

    def tell(self, optuna_number: int, record: TrialRecord) -> None:
        """Tell what a record holds under a number: the objectives, or that there are none."""
        trial = self.study.get_trials(deepcopy=False)[optuna_number]
        live = optuna.Trial(self.study, trial._trial_id)
        for name, value in self._violations(record).items():
            live.set_constraint(name, value)
        live.set_user_attr(ENDING, record.state)
        state = self._state(record)
        self.study.tell(
            optuna_number,
            self._values(record),
            # A duplicate of a trial that still runs is no trial of its own.
            state=TrialState.FAIL if state == TrialState.RUNNING else state,
        )

    def know(self, results: Sequence[KnownResult]) -> None:
        """Tell what is known from elsewhere, each result once."""
        there = {t.user_attrs.get(KNOWN) for t in self.study.get_trials(deepcopy=False)}
        for index, result in enumerate(results):
            if index not in there:
                replay = FixedTrial(result.params)
                self._space.suggest(replay)
                told = create_trial(
                    params=replay.params,
                    distributions=replay.distributions,
                    values=self._scaled(result.figure),
                    constraints=_violations(self._constraints, result.figure),
                    user_attrs={KNOWN: index},
                )
                self.study.add_trial(told)

    def tell_known(self, trial: optuna.Trial, result: KnownResult) -> None:
        """Tell what is known of a draw from elsewhere."""
        for name, value in _violations(self._constraints, result.figure).items():
            trial.set_constraint(name, value)
        self.study.tell(trial, self._scaled(result.figure))

    def refuse(self, trial: optuna.Trial, reason: str) -> None:
        """Tell that a draw is no configuration."""
        trial.set_user_attr("refused", reason)
        self.study.tell(trial, state=TrialState.PRUNED)

    def _violations(self, record: TrialRecord) -> dict[str, float]:
        """What the sampler is told of the constraints that can be judged."""
        if record.state in ("running", "failed"):
            return {}
        whole = self._state(record) == TrialState.COMPLETE
        judged = [
            c
            for c in self._constraints
            if whole or (c.on_cost and record.figure(c.figure) is not None)
        ]
        return _violations(judged, partial(_expected, record))

    def _values(self, record: TrialRecord) -> list[float] | None:
        whole = self._state(record) == TrialState.COMPLETE
        return self._scaled(partial(_expected, record)) if whole else None

    def _scaled(self, figure: FigureOf) -> list[float]:
        """The objectives as the sampler sees them: speeds and sizes by their logarithms."""
        return [scaled(name, figure(name)) for name in self._objectives]

    def _state(self, record: TrialRecord) -> TrialState:
        rescaled = self._stopped_as == "rescaled" and record.growth is not None
        whole = record.state == "finished" or (record.state == "stopped" and rescaled)
        if whole:
            known = None not in map(record.figure, self._objectives)
            return TrialState.COMPLETE if known else TrialState.FAIL
        return TrialState.PRUNED if record.lasting else STATES[record.state]

    def _reconcile(self, records: Sequence[TrialRecord]) -> None:
        """Make the Optuna study say what the records say."""
        numbers = {record.number for record in records}
        told = {t.user_attrs.get(NUMBER): t for t in self.study.get_trials(deepcopy=False)}
        for trial in self.study.get_trials(deepcopy=False):
            ghost = trial.user_attrs.get(NUMBER) not in numbers
            if ghost and trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
        for record in records:
            trial = told.get(record.number)
            if trial is None:
                self.study.add_trial(self._as_optuna(record))
            elif record.state != "running" and (trial.state == TrialState.RUNNING or record.again):
                self.end(record)

    def _as_optuna(self, record: TrialRecord) -> FrozenTrial:
        replay = FixedTrial(record.params)
        self._space.suggest(replay)
        return create_trial(
            state=self._state(record),
            params=replay.params,
            distributions=replay.distributions,
            values=self._values(record),
            constraints=self._violations(record),
            user_attrs={NUMBER: record.number, ENDING: record.state},
        )


def _opened(
    file: Path, space: Space, directions: list[str], records: Sequence[TrialRecord]
) -> optuna.Study:
    """The Optuna study in a file; one that is damaged or of another search is put aside and made
    anew."""
    try:
        study = _load(file, directions)
        _check(study, space, directions, records)
        return study
    except OSError:
        raise
    except Exception as error:  # whatever Optuna makes of operations that do not go together
        aside = file.with_name(f"{file.name}.damaged-{time.time_ns()}")
        os.replace(file, aside)
        logger.warning(f"{file} is made anew from the journal, kept as {aside.name}: {error}")
        return _load(file, directions)


def _load(file: Path, directions: list[str]) -> optuna.Study:
    storage = JournalStorage(OptunaLog(file))
    if NAME in (study.study_name for study in storage.get_all_studies()):
        return optuna.load_study(study_name=NAME, storage=storage)
    return optuna.create_study(study_name=NAME, storage=storage, directions=directions)


def _check(
    study: optuna.Study, space: Space, directions: list[str], records: Sequence[TrialRecord]
) -> None:
    """Raise `LogDamaged` where an Optuna study is not that of a search."""
    found = [direction.name.lower() for direction in study.directions]
    if found != directions:
        raise LogDamaged(f"its objectives are to {found}, those of the study to {directions}")
    drawn = {path: _distribution(domain, path) for path, domain in space.searched()}
    params = {record.number: record.params for record in records}
    for trial in study.get_trials(deepcopy=False):
        for path, distribution in trial.distributions.items():
            if drawn.get(path) != distribution:
                raise LogDamaged(f"{path} is drawn from {distribution} in it, not as in the study")
        number = trial.user_attrs.get(NUMBER)
        if number in params and trial.params != params[number]:
            raise LogDamaged(f"its trial {number} is not the study's")


def _distribution(domain: Domain, path: str) -> BaseDistribution:
    """What Optuna draws a parameter from."""
    trial = FixedTrial({path: domain.param(domain.nearest(None))})
    domain.suggest(trial, path)
    return trial.distributions[path]


def _expected(record: TrialRecord, name: str) -> float | None:
    """A figure of a trial; the metrics of a stopped one as they would have grown."""
    figure = record.figure(name)
    grows = record.growth is not None and figure is not None and name in Metrics.model_fields
    return min(1.0, figure * record.growth) if grows else figure


def _violations(constraints: Sequence[Constraint], figure: FigureOf) -> dict[str, float]:
    """What the sampler is told of constraints: above 0 where one is broken."""
    return {str(c): c.violation(figure(c.figure)) for c in constraints}
