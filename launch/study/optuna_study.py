"""The Optuna study next to a study's journal: draws of the sampler, and reports to it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import optuna
import torch
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from detectors.quiet import computing, threads
from launch.constraints import Constraint
from launch.figures import FIGURES, Direction, FigureName, directions, if_known, scaled
from launch.records import Failed, Finished, Gated, Infeasible, Stopped, TrialRecord
from launch.study.known import KnownResult
from launch.study.optuna_log import LogDamaged, LogStorage
from launch.study.search_options import REPORTED_AS, StoppedAs
from launch.study.settings import StudyError
from searchspace import Space, TrialConfig
from searchspace.domains import Domain

CPU = torch.device("cpu")

NAME = "sparrow"
"""The name of the Optuna study in each log."""

NUMBER = "number"
"""User attribute of an Optuna trial: the number of the study's trial."""

KNOWN = "known"
"""User attribute of an Optuna trial: the index of a known result."""

ENDING = "ending"
"""User attribute of an Optuna trial: the state of the study's trial when it was reported."""

FigureOf = Callable[[str], float | None]
"""Returns a figure of a detector by its name."""

Opener = Callable[[Space, list[Direction], Sequence[TrialRecord]], optuna.Study]
"""Opens the Optuna study for trials of a space, with their objectives' directions and records."""

logger = logging.getLogger(__name__)
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Report:
    """The report of a trial to the sampler.

    Attributes:
        state: samplers learn from COMPLETE and, except for Gaussian processes, from PRUNED; never
            from FAIL.
        values: the objectives, with logarithms of speeds and sizes.
        constraints: those that can be judged; above 0 if violated.
    """

    state: TrialState
    values: list[float] | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)


class OptunaStudy:
    """An Optuna study, which is reconciled with the journal's records when opened.

    Args:
        open_study: opens it: `in_file`, or `in_database` where several drivers share it.
    """

    def __init__(
        self,
        open_study: Opener,
        space: Space,
        objectives: Sequence[FigureName],
        constraints: Sequence[Constraint],
        records: Iterable[TrialRecord],
        stopped_as: StoppedAs = REPORTED_AS,
    ) -> None:
        self._space = space
        self._drawn = distributions_of(space)
        self._objectives = objectives
        self._stopped_as = stopped_as
        self._constraints = constraints
        self._asked: dict[int, int] = {}  # the Optuna trials that this driver asked for
        records = tuple(records)
        self._study = open_study(space, directions(objectives), records)
        self.reconcile(records)

    @property
    def numbers(self) -> set[int]:
        """The numbers of the study's trials that it contains."""
        found = (t.user_attrs.get(NUMBER) for t in self._study.get_trials(deepcopy=False))
        return {number for number in found if number is not None}

    def together(self) -> AbstractContextManager[None]:
        """While it is entered, what is told to a study in a file is written in one go at the end.

        A database has its own transactions.
        """
        storage = self._study._storage
        return storage.together() if isinstance(storage, LogStorage) else nullcontext()

    def enqueue(self, config: TrialConfig) -> None:
        """Make a configuration of the space the next draw."""
        self._study.enqueue_trial(self._space.to_params(config))

    def ask(self, sampler: BaseSampler) -> optuna.Trial:
        """A new draw. A sampler with a model may compute for seconds, but not during
        measurements."""
        self._study.sampler = sampler
        with computing(CPU, "proposing a trial"), threads(1):
            return self._study.ask()

    def claim(self, trial: optuna.Trial, number: int) -> None:
        """Note that an Optuna trial became a trial of the study."""
        trial.set_user_attr(NUMBER, number)
        self._asked[number] = trial._trial_id

    def end(self, record: TrialRecord) -> None:
        """Report how a trial of the study ended.

        A promoted or retried trial was reported before; it is reported again under a new number.
        """
        with self.together():
            asked = self._asked.pop(record.number, None)
            if asked is not None:
                self.tell(optuna.Trial(self._study, asked), record)
                return
            # Not for every trial: there may be thousands to go through.
            trials = self._study.get_trials(deepcopy=False)
            self._end(record, [t for t in trials if t.user_attrs.get(NUMBER) == record.number])

    def _end(self, record: TrialRecord, reported: Sequence[FrozenTrial]) -> None:
        """Report an ending once.

        Args:
            reported: the Optuna trials of the study's trial.
        """
        if running := _running(reported):
            self.tell(optuna.Trial(self._study, running[0]._trial_id), record)
        elif record.again and record.state not in {t.user_attrs.get(ENDING) for t in reported}:
            self._study.add_trial(self._as_optuna(record))

    def tell(self, trial: optuna.Trial, record: TrialRecord) -> None:
        """Report a trial's outcome for its draw, or for a duplicate of it."""
        report = self._report(record)
        for name, value in report.constraints.items():
            trial.set_constraint(name, value)
        trial.set_user_attr(ENDING, record.state)
        # Mark duplicates of a running trial as FAIL; the original will report.
        state = TrialState.FAIL if report.state == TrialState.RUNNING else report.state
        self._study.tell(trial.number, report.values, state=state)

    def know(self, results: Sequence[KnownResult]) -> None:
        """Report known results, each once."""
        there = {t.user_attrs.get(KNOWN) for t in self._study.get_trials(deepcopy=False)}
        for index, result in enumerate(results):
            if index not in there:
                replay = FixedTrial(result.params)
                self._space.suggest(replay)
                self._study.add_trial(
                    create_trial(
                        params=replay.params,
                        distributions=replay.distributions,
                        values=self._scaled(self._known(result)),
                        constraints=_violations(self._constraints, result.figure),
                        user_attrs={KNOWN: index},
                    )
                )

    def repeat_known(self, trial: optuna.Trial, result: KnownResult) -> None:
        """Report a known result for a draw that repeats it."""
        for name, value in _violations(self._constraints, result.figure).items():
            trial.set_constraint(name, value)
        self._study.tell(trial, self._scaled(self._known(result)))

    def refuse(self, trial: optuna.Trial, reason: str) -> None:
        """Report that a draw is not a valid configuration."""
        trial.set_user_attr("refused", reason)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _report(self, record: TrialRecord) -> Report:
        """The report for a trial, by its ending."""
        match record.ending:
            case None:
                return Report(TrialState.RUNNING)
            case Failed(lasting=lasting):
                return Report(TrialState.PRUNED if lasting else TrialState.FAIL)
            case Finished():
                return self._scored(record.figure, TrialState.FAIL)
            case Stopped(growth=float(growth)) if self._stopped_as == "rescaled":
                return self._scored(partial(_grown, record, growth), TrialState.FAIL)
            case Infeasible() | Gated() | Stopped():
                return self._unscored(record.figure, TrialState.PRUNED)

    def _scored(self, figure: FigureOf, otherwise: TrialState) -> Report:
        """A report with all objectives and constraints; without objectives if one is unknown."""
        values = if_known(map(figure, self._objectives))
        if values is None:
            return self._unscored(figure, otherwise)
        constraints = _violations(self._constraints, figure)
        return Report(TrialState.COMPLETE, self._scaled(values), constraints)

    def _unscored(self, figure: FigureOf, state: TrialState) -> Report:
        """A report with the constraints that are known before training."""
        judged = [c for c in self._constraints if c.on_cost and figure(c.figure) is not None]
        return Report(state, constraints=_violations(judged, figure))

    def _known(self, result: KnownResult) -> list[float]:
        """The objectives of a result from elsewhere, which has them."""
        return [result.figure(name) for name in self._objectives]

    def _scaled(self, values: Sequence[float]) -> list[float]:
        """The objectives for the sampler, with logarithms of speeds and sizes."""
        return [scaled(name, value) for name, value in zip(self._objectives, values, strict=True)]

    def reconcile(self, records: Iterable[TrialRecord]) -> None:
        """Make the Optuna study agree with the records of all trials."""
        with self.together():
            self._reconcile(records)

    def _reconcile(self, records: Iterable[TrialRecord]) -> None:
        there: dict[int | None, list[FrozenTrial]] = {}
        for trial in self._study.get_trials(deepcopy=False):
            there.setdefault(trial.user_attrs.get(NUMBER), []).append(trial)
        for record in records:
            reported = there.pop(record.number, [])
            if not reported:
                self._study.add_trial(self._as_optuna(record))
            elif record.ending and (record.again or _running(reported)):
                self._end(record, reported)
        ghosts = (ghost for trials in there.values() for ghost in _running(trials))
        for ghost in ghosts:
            self._study.tell(ghost.number, state=TrialState.FAIL)

    def _as_optuna(self, record: TrialRecord) -> FrozenTrial:
        report = self._report(record)
        return create_trial(
            state=report.state,
            params=record.params,
            distributions={path: self._drawn[path] for path in record.params},
            values=report.values,
            constraints=dict(report.constraints),
            user_attrs={NUMBER: record.number, ENDING: record.state},
        )


def in_file(
    file: Path, space: Space, directions: list[Direction], records: Sequence[TrialRecord]
) -> optuna.Study:
    """The Optuna study in a file; a damaged one, or one of another search, is renamed and
    rebuilt."""
    try:
        study = _load(LogStorage(file), NAME, directions)
        _check(study, space, directions, records)
        return study
    except OSError:
        raise
    except Exception as error:  # Optuna raises all kinds of errors for inconsistent operations
        aside = file.with_name(f"{file.name}.damaged-{time.time_ns()}")
        os.replace(file, aside)
        logger.warning(f"{file} is rebuilt from the journal, old one kept as {aside.name}: {error}")
        return _load(LogStorage(file), NAME, directions)


def in_database(
    storage: BaseStorage,
    name: str,
    space: Space,
    directions: list[Direction],
    records: Sequence[TrialRecord],
) -> optuna.Study:
    """The Optuna study of that name in a database.

    Raises:
        StudyError: it is one of another search.
    """
    study = _load(storage, name, directions)
    try:
        _check(study, space, directions, records)
    except LogDamaged as error:
        raise StudyError(
            f"the Optuna study {name!r} in the database is not of this search: {error}; begin "
            "another study with --study-name NAME"
        ) from None
    return study


def _load(storage: BaseStorage, name: str, directions: list[Direction]) -> optuna.Study:
    if name in (study.study_name for study in storage.get_all_studies()):
        return optuna.load_study(study_name=name, storage=storage)
    return optuna.create_study(study_name=name, storage=storage, directions=directions)


def _running(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.RUNNING]


def _check(
    study: optuna.Study, space: Space, directions: list[Direction], records: Sequence[TrialRecord]
) -> None:
    """Raise `LogDamaged` if an Optuna study does not belong to a search."""
    found = [direction.name.lower() for direction in study.directions]
    if found != directions:
        raise LogDamaged(f"its objectives are to {found}, those of the study to {directions}")
    drawn = distributions_of(space)
    params = {record.number: record.params for record in records}
    for trial in study.get_trials(deepcopy=False):
        for path, distribution in trial.distributions.items():
            if drawn.get(path) != distribution:
                raise LogDamaged(f"{path} is drawn from {distribution} in it, not as in the study")
        number = trial.user_attrs.get(NUMBER)
        if number in params and trial.params != params[number]:
            raise LogDamaged(f"its trial {number} is not the study's")


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """By path, the Optuna distributions that a space draws its parameters from."""
    return {path: _distribution(domain, path) for path, domain in space.searched()}


def _distribution(domain: Domain, path: str) -> BaseDistribution:
    """The Optuna distribution of a parameter."""
    trial = FixedTrial({path: domain.param(domain.nearest(None))})
    domain.suggest(trial, path)
    return trial.distributions[path]


def _grown(record: TrialRecord, growth: float, name: str) -> float | None:
    """A figure of a stopped trial; metrics are extrapolated by the growth of other trials."""
    figure, row = record.figure(name), FIGURES[name]
    if figure is None or row.source == "cost" or row.better == "down":
        return figure
    return min(1.0, figure * growth) if row.fraction else figure * growth


def _violations(constraints: Sequence[Constraint], figure: FigureOf) -> dict[str, float]:
    """The constraints for the sampler: above 0 if violated."""
    return {str(c): c.violation(figure(c.figure)) for c in constraints}
