"""Which trial of a study runs next, from whichever source has one."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from launch.decisions.budget import Means, Spent, is_spent
from launch.decisions.early import Rungs
from launch.files import TRIALS
from launch.records import TrialRecord
from launch.study import needs
from launch.study.journal import Journal, Lost
from launch.study.optuna_study import OptunaStudy
from launch.study.proposals import Proposals
from launch.study.study_folder import StudyFolder


class NextTrials:
    """Unfinished trials, those of drivers that died, new ones, and then stopped ones.

    Args:
        rungs: of the journal's records.
        number: of the next new trial, unless others have taken it.

    Attributes:
        unfinished: trials that were begun and wait to be run again.
    """

    def __init__(
        self,
        study: StudyFolder,
        journal: Journal,
        asked: OptunaStudy,
        proposals: Proposals,
        rungs: Rungs,
        number: int,
    ) -> None:
        self._study, self._journal, self._rungs = study, journal, rungs
        self._optuna, self._proposals = asked, proposals
        self._number = number
        self.unfinished: deque[TrialRecord] = deque()

    def find(self, running: Iterable[int]) -> None:
        """Note which of this driver's trials have not ended, and do not run."""
        mine = (r for r in self._study.records if r.ending is None)
        own = [record for record in mine if self._journal.is_mine(record.number)]
        runs = set(running)
        self.unfinished = deque(record for record in own if record.number not in runs)

    def drop(self, number: int) -> None:
        """Note that a trial ended."""
        self.unfinished = deque(r for r in self.unfinished if r.number != number)

    def next(self, spent: Spent) -> TrialRecord | None:
        """The next trial to run, which is recorded; None if there is none for now."""
        for record in self.unfinished:
            if self._is_ready(record):
                self.unfinished.remove(record)
                return record
        if orphan := self._orphan():
            return orphan
        budget = self._study.settings.budget.limits
        new = None if is_spent(budget, spent) else self._new_record(spent)
        if new is None and not is_spent(replace(budget, trials=spent.proposed + 1), spent):
            return self._second_chance()
        return new

    def _is_ready(self, record: TrialRecord) -> bool:
        return needs.is_ready(self._study.space, record.config, self._study.records)

    def _orphan(self) -> TrialRecord | None:
        """A trial of a driver that died or left."""
        for number in self._journal.orphans():
            if self._is_ready(self._journal.get(number)):
                with contextlib.suppress(Lost):  # Its driver has ended it after all.
                    return self._journal.take(number)
        return None

    def _second_chance(self) -> TrialRecord | None:
        rule = self._study.settings.early_stopping
        chance = self._rungs.second_chance(rule) if rule else None
        if chance is None:
            return None
        number, rung = chance
        self._journal.append(self._journal.get(number).promoted_from(rung))
        return self._journal.get(number)

    def _new_record(self, spent: Spent) -> TrialRecord | None:
        with self._optuna.together():
            return self._drawn(Means.of(self._study.settings.budget.limits, spent))

    def _drawn(self, means: Means) -> TrialRecord | None:
        found = self._proposals.find(means)
        if found is None:
            return None
        number = self._number = max(self._number, 1 + self._journal.last)
        record = TrialRecord(
            number=number,
            folder=f"{TRIALS}/{number:04d}-{found.config.digest()}",
            origin=found.origin,
            params=found.trial.params,
            config=found.config,
            drawn=found.drawn if found.drawn != found.config else None,
            parent=found.parent,
        )
        self._journal.append(record)
        self._number += 1
        self._optuna.claim(found.trial, number)
        return record
