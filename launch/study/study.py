"""The study: its trials, their endings, and their reports to the sampler. Knows no driver."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.decisions import early
from launch.decisions.budget import Outlook, Spent, outlook
from launch.decisions.gate import Gate
from launch.decisions.tally import Tally
from launch.files import JOURNAL, OPTUNA_LOG, SHARED_JSON
from launch.records import Ending, Failed, Finished, TrialRecord
from launch.study import needs
from launch.study.failures import Failure, common_cause
from launch.study.first_trials import first_trials
from launch.study.journal import Journal, Lost
from launch.study.next_trials import NextTrials
from launch.study.optuna_study import OptunaStudy, in_file
from launch.study.proposals import Proposals, rejected_in_a_row
from launch.study.recovery import (
    missing_in_words,
    missing_trials,
    restore,
    trial_folders,
)
from launch.study.search_options import MAX_SEED
from launch.study.settings import StudySettings
from launch.study.study_folder import StudyFolder, store_file
from launch.trial.result import TrialResult
from launch.trial.shared_scores import SharedScores

if TYPE_CHECKING:
    from launch.study.shared_journal import SharedJournal  # It needs SQLAlchemy.

logger = logging.getLogger(__name__)

OnEnd = Callable[[TrialRecord, Outlook], None]
"""Called with each trial that ended, and the outlook of the budget."""


class Study(StudyFolder):
    """The state of a search, in a folder: `study.json`, `journal.jsonl`, `optuna.log`, `trials/`,
    `stages/`.

    The journal is authoritative; the Optuna study is reconciled with it when opened.

    Attributes:
        workers: number of trials in parallel; set by its driver.
    """

    def __init__(
        self,
        folder: Path,
        settings: StudySettings,
        on_end: OnEnd | None = None,
        shared: SharedJournal | None = None,
    ) -> None:
        """The study in a folder whose lock this process holds.

        Args:
            shared: the journal, if other drivers share the study.
        """
        super().__init__(folder, settings)
        self._on_end = on_end or (lambda record, outlook: None)
        self.workers = 1
        self._journal = shared or Journal(folder / JOURNAL)
        folders = trial_folders(folder)
        self._first = first = first_trials(self.space, settings.start.papers)
        weights = self.shared_scores.stage if self.shared_scores else None
        restore(self._journal, folder, folders, settings, self.space, first.origins, weights)
        self._tally = Tally()
        self._journal.follow(self._tally.note)
        self._rungs = early.Rungs(settings.goal.objectives)
        self._journal.follow(self._rungs.note)
        self._trainings = early.Trainings(settings.goal.objectives)
        self._journal.follow(self._trainings.note)
        self._proposed: set[int] = set()
        # Nothing can be proposed until a running trial reports something.
        self._idle = False
        self._endings: list[TrialRecord] = []
        self._stopped_by: str | None = None
        self._opened = time.monotonic() - self._journal.elapsed
        self._begun: float | None = None  # when the first trial was proposed
        opener = shared.opener if shared else partial(in_file, folder / OPTUNA_LOG)
        self._optuna = self._journal.in_turn(
            lambda: OptunaStudy(
                opener,
                self.space,
                settings.goal.objectives,
                settings.goal.constraints,
                self.records,
                settings.early.reported_as,
            )
        )
        missing = missing_trials(self.records, folders, self._optuna.numbers)
        if missing:
            logger.warning(f"{folder}: {missing_in_words(missing)}")
        number = 1 + max((r.number for r in (*self.records, *missing)), default=-1)
        seed = (settings.sampling.seed + number + self._journal.salt) % (MAX_SEED + 1)
        self._proposals = self._journal.in_turn(
            lambda: Proposals(
                self.space, settings, self._optuna, first, seed, self._journal, self._tally
            )
        )
        self._proposals.rejected = rejected_in_a_row(self.records)
        self._next = NextTrials(
            self, self._journal, self._optuna, self._proposals, self._rungs, number
        )
        self._next.find(running=())
        if self.shared_scores is not None:
            self._proposals.guide_by(self.shared_scores)

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The latest record of each trial."""
        return self._journal.records

    def record(self, number: int) -> TrialRecord:
        """The latest record of a trial."""
        return self._journal.get(number)

    @property
    def longest(self) -> TrialRecord | None:
        """The finished trial that took longest."""
        return self._tally.longest

    def propose(self) -> TrialRecord | None:
        """The next trial to run: unfinished ones first, then planned ones, then new draws, and
        finally stopped ones that are promoted.

        None if the budget is spent or the space has nothing new; with `waits`, only for now.
        """
        self._hear()
        if self._idle or self._stopped_by:
            return None
        record = self._journal.in_turn(self._propose)
        self._idle = record is None
        if record is not None:
            self._begun = self._begun or time.monotonic()
            self._proposed.add(record.number)
        return record

    def _propose(self) -> TrialRecord | None:
        if self._journal.news:
            self._hear()
            self._optuna.reconcile(self.records)
            self._journal.news = False
        while record := self._next.next(self._spent()):
            missing = needs.missing_in_words(self.space, record, self.records)
            if not missing:
                break
            self._conclude(record.ended(Failed(reason=missing), 0.0), attempted=False)
        return record

    def _hear(self) -> None:
        """Take note of what other drivers did."""
        self._journal.refresh()
        if not self._journal.news:
            return
        self._idle = False
        self._proposed = set(filter(self._journal.is_mine, self._proposed))
        self._next.find(running=self._proposed)
        trials = self._journal.trials
        if trials is not None and trials != self.settings.budget.trials:
            self._change(trials=trials)

    @property
    def waits(self) -> bool:
        """Whether running trials may lead to the promotion of a stopped one, or to one that needs
        their detectors; or whether other drivers run trials, which may have to be taken over."""
        stops = self.settings.early_stopping is not None
        more = stops or self._first.waiting or bool(self._next.unfinished)
        waits = self._journal.elsewhere or (more and bool(self._proposed))
        return waits and not self._stopped_by

    @property
    def stopped_by(self) -> str | None:
        """Why it proposes nothing more: a failure of the surroundings, or the common cause of the
        latest failed trials. None while it goes on."""
        return self._stopped_by

    def try_again(self, lasting: bool) -> int:
        """Mark failed trials as unfinished, to be retried; returns their number.

        Args:
            lasting: also those that failed because of their design.
        """
        return self._journal.in_turn(lambda: self._try_again(lasting))

    def _try_again(self, lasting: bool) -> int:
        failed = [r for r in self.records if r.state == "failed" and (lasting or not r.lasting)]
        for record in failed:
            self._journal.append(record.tried_again())
            self._next.unfinished.append(self._journal.get(record.number))
        return len(failed)

    def end(self, number: int, outcome: TrialResult | Failure) -> None:
        """Record how a trial ended, on disk before it is reported to the sampler.

        After a failure of the surroundings it stays unfinished, for the next resume, and the study
        proposes nothing more.
        """
        self._proposals.count(rejected=False)
        self._hear()
        running = self._journal.get(number)
        if isinstance(outcome, Failure):
            if outcome.blame == "surroundings":
                self._stopped_by = self._stopped_by or outcome.reason
                self._proposed.discard(number)
                return
            ending = Failed(reason=outcome.reason, lasting=outcome.blame == "design")
        else:
            ending = Finished(result=outcome, broken=self.settings.broken_by(outcome))
        self._conclude(running.ended(ending, outcome.seconds))

    def note_prediction(self, number: int, cost: Cost, seconds: float) -> bool:
        """Record the predicted cost of a trial's detector; returns whether to train it.

        If not, the trial has ended.

        Args:
            seconds: since its attempt began.
        """
        self._hear()
        record = self._journal.get(number)
        if record.state != "running":
            return False
        record, settings = record.model_copy(update={"predicted": cost}), self.settings
        gate = Gate() if settings.early.gate else None
        trained = self._trainings.designs if gate else ()
        ending = early.before_training(
            record, trained, settings.goal.constraints, gate, settings.goal.objectives
        )
        self._proposals.count(rejected=ending is not None)
        return self._note(record, ending, seconds)

    def note_rung(self, number: int, epochs: int, metrics: Metrics, seconds: float) -> bool:
        """Record a trial's metrics at a rung; returns whether training continues.

        If not, the trial has ended, but may be promoted and proposed again.

        Args:
            seconds: since its attempt began.
        """
        self._hear()
        record = self._journal.get(number)
        if record.state != "running":
            return False
        slim = metrics.model_copy(update={"classes": {}})
        record = record.model_copy(update={"midway": record.midway | {epochs: slim}})
        rule = self.settings.early_stopping
        ending = self._rungs.ending(record, rule, epochs) if rule else None
        return self._note(record, ending, seconds)

    def extend(self, trials: int) -> None:
        """Change the total number of proposed trials."""
        self._idle = False
        self._journal.agree(trials)
        self._change(trials=trials)

    def guide_by(self, scores: SharedScores) -> None:
        """Take scores with shared weights into account from now on; they are kept."""
        store_file(self.folder, SHARED_JSON, scores)
        self.shared_scores = scores
        self._proposals.guide_by(scores)

    def _note(self, record: TrialRecord, ending: Ending | None, seconds: float) -> bool:
        """Record news of a trial, and its ending if any; returns whether it continues."""
        self._idle = False
        if ending is not None:
            self._conclude(record.ended(ending, seconds))
        elif not self._kept(record):
            return False
        return ending is None

    def _kept(self, record: TrialRecord) -> bool:
        """Make a record durable; returns whether it counts, as it does unless another driver took
        its trial over."""
        try:
            self._journal.append(record)
        except Lost:
            logger.warning(
                f"trial {record.number} was taken over by another driver, as this one was silent "
                "for too long; what came of it here is left out"
            )
            self._proposed.discard(record.number)
            self._journal.news = True
            return False
        return True

    def _conclude(self, record: TrialRecord, attempted: bool = True) -> None:
        """Make an ending durable, then report it.

        Args:
            attempted: whether it was run; if not, its failure does not count among those that stop
                the search.
        """
        if not self._kept(record):
            return
        self._proposed.discard(record.number)
        self._next.drop(record.number)
        self._idle = False
        self._journal.in_turn(lambda: self._optuna.end(record))
        if attempted:
            self._endings.append(record)
        self._stopped_by = self._stopped_by or common_cause(self._endings)
        self._on_end(record, outlook(self.settings.budget.limits, self._spent()))

    def _spent(self) -> Spent:
        now = time.monotonic()
        return self._tally.spent(
            waiting=len(self._next.unfinished),
            elapsed=now - self._opened,
            workers=self.workers,
            ended=len(self._endings),
            watched=now - (self._begun or now),
            device=self.shared_scores.seconds if self.shared_scores else 0.0,
        )
