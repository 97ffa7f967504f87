"""What the sampler has been told: the Optuna study beside a study's journal."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from launch.constraints import Constraint
from launch.known import KnownResult
from launch.objectives import Figure, directions, scaled
from launch.records import TrialRecord
from launch.trial import TrialResult
from searchspace import Space

NUMBER = "number"
"""The user attribute by which one of Optuna's trials names the study's."""

KNOWN = "known"
"""The user attribute that numbers what is known from elsewhere."""

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
    ) -> None:
        self._space = space
        self._objectives = objectives
        self._constraints = constraints
        self.study = _opened(file, directions(objectives))
        self._reconcile(tuple(records))

    def claim(self, trial: optuna.Trial, number: int) -> None:
        """Note that one of Optuna's trials became the study's."""
        trial.set_user_attr(NUMBER, number)

    def end(self, record: TrialRecord, failed_as: TrialState | None = None) -> None:
        """Tell how a trial of the study ended."""
        trials = self.study.get_trials(deepcopy=False)
        number = next(t.number for t in trials if t.user_attrs.get(NUMBER) == record.number)
        self.tell(number, record, failed_as)

    def tell(
        self, optuna_number: int, record: TrialRecord, failed_as: TrialState | None = None
    ) -> None:
        """Tell the objectives that a record holds, or that there are none, under a number."""
        values = record.values(self._objectives) and self._values(record.result)
        if values:
            trial = self.study.get_trials(deepcopy=False)[optuna_number]
            live = optuna.Trial(self.study, trial._trial_id)
            for name, value in self._violations(record.result).items():
                live.set_constraint(name, value)
            self.study.tell(optuna_number, values)
        else:
            self.study.tell(optuna_number, state=failed_as or TrialState.FAIL)

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
                    values=self._values(result),
                    constraints=self._violations(result),
                    user_attrs={KNOWN: index},
                )
                self.study.add_trial(told)

    def tell_known(self, trial: optuna.Trial, result: KnownResult) -> None:
        """Tell what is known of a draw from elsewhere."""
        for name, value in self._violations(result).items():
            trial.set_constraint(name, value)
        self.study.tell(trial, self._values(result))

    def refuse(self, trial: optuna.Trial, reason: str) -> None:
        """Tell that a draw is no configuration."""
        trial.set_user_attr("refused", reason)
        self.study.tell(trial, state=TrialState.PRUNED)

    def _values(self, result: TrialResult | KnownResult) -> list[float]:
        """The objectives as the sampler sees them: speeds and sizes by their logarithms."""
        return [scaled(name, result.figure(name)) for name in self._objectives]

    def _violations(self, result: TrialResult | KnownResult) -> dict[str, float]:
        """What the sampler is told of each constraint: above 0 where it is broken."""
        return {str(c): c.violation(result.figure(c.figure)) for c in self._constraints}

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
            elif trial.state == TrialState.RUNNING and record.state != "running":
                self.tell(trial.number, record)

    def _as_optuna(self, record: TrialRecord) -> FrozenTrial:
        replay = FixedTrial(record.params)
        self._space.suggest(replay)
        finished = record.values(self._objectives) is not None
        running = record.state == "running"
        ended = TrialState.COMPLETE if finished else TrialState.FAIL
        return create_trial(
            state=TrialState.RUNNING if running else ended,
            params=replay.params,
            distributions=replay.distributions,
            values=self._values(record.result) if finished else None,
            constraints=self._violations(record.result) if finished else None,
            user_attrs={NUMBER: record.number},
        )


def _opened(file: Path, directions: list[str]) -> optuna.Study:
    """The Optuna study in a file; a damaged one is put aside and made anew."""
    # Whoever opens it holds the study's lock, so one that still lies here belonged to a process
    # that died.
    file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
    try:
        return _load(file, directions)
    except (ValueError, KeyError) as error:
        damaged = file.with_name(f"{file.name}.damaged-{int(time.time())}")
        os.replace(file, damaged)
        logger.warning(
            f"{file} is damaged ({error}); kept as {damaged.name}, made anew from the journal"
        )
        return _load(file, directions)


def _load(file: Path, directions: list[str]) -> optuna.Study:
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(file))),
        study_name="sparrow",
        directions=directions,
        load_if_exists=True,
    )
