"""The next trial of a study: planned trials first, then draws of the sampler; no duplicates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from pydantic import ValidationError

from detectors.describe import describe
from launch.decisions.budget import Means
from launch.decisions.inheritance import Ancestry
from launch.decisions.pruning_ladder import Ladder, is_time
from launch.decisions.shared_weights import Guide
from launch.decisions.tally import Tally
from launch.records import DRAWN, REFERENCES, UNTRAINED, Origin, Parent, TrialRecord
from launch.study.first_trials import FirstTrials, GivenFirst
from launch.study.journal import Journal
from launch.study.optuna_study import OptunaStudy
from launch.study.samplers import STARTUP_TRIALS, make_sampler
from launch.study.settings import StudySettings
from launch.study.tried import Tried
from launch.trial.shared_scores import SharedScores
from searchspace import Space, TrialConfig

MAX_REJECTED = 5
"""Consecutive rejected proposals - duplicates, invalid ones, ended before training - after which a
random one is drawn."""

EXHAUSTED = 200
"""Consecutive duplicate or invalid draws after which the space counts as exhausted."""


@dataclass(frozen=True)
class Proposal:
    """A trial that a study may run.

    Attributes:
        trial: the Optuna trial, whose parameters draw the configuration.
        drawn: the configuration as drawn.
        config: the configuration to train.
        parent: what it inherits its weights from.
    """

    trial: optuna.Trial
    origin: Origin
    drawn: TrialConfig
    config: TrialConfig
    parent: Parent | None


class Proposals:
    """Finds the next trial. What it needs of all trials it notes as they come and end.

    Attributes:
        rejected: number of consecutive rejected proposals.
    """

    def __init__(
        self,
        space: Space,
        settings: StudySettings,
        asked: OptunaStudy,
        first: FirstTrials | GivenFirst,
        seed: int,
        journal: Journal,
        tally: Tally,
    ) -> None:
        """
        Args:
            tally: of the journal's records.
        """
        self._space = space
        self._settings = settings
        self._optuna = asked
        self._first = first
        self._random = optuna.samplers.RandomSampler(seed=seed)
        self._sampler = make_sampler(settings.sampler, seed)
        known = [result for source in settings.known for result in source.results]
        asked.know(known)
        configs = [(result.config(space), result) for result in known]
        self._known = {config.digest(): result for config, result in configs}
        self._known_designs = {config.detector for config, _ in configs}
        self._journal, self._tally, self._tried = journal, tally, Tried(journal)
        start, self._ladder, self._ancestry = settings.start, None, None
        if start.ladder:
            self._ladder = Ladder(space, start.ladder, settings.goal.objectives)
            journal.follow(self._ladder.note)
        if start.inherit:
            self._ancestry = Ancestry()
            journal.follow(self._ancestry.note)
        self._guide: Guide | None = None
        self.rejected = 0

    def guide_by(self, scores: SharedScores) -> None:
        """Let scores with shared weights propose designs, too, and heirs start from the weights."""
        goal, stock = self._settings.goal, describe(self._space.baseline().detector).macs
        known = self._known_designs
        self._guide = Guide(scores, goal.objectives, goal.constraints, stock, known)
        self._journal.follow(self._guide.note)
        if self._ancestry:
            self._ancestry.share(scores.tensors)

    def count(self, rejected: bool) -> None:
        """Note whether a proposal was rejected."""
        self.rejected = self.rejected + 1 if rejected else 0

    def find(self, means: Means) -> Proposal | None:
        """The next trial; None if the space has nothing new.

        Args:
            means: of the search.
        """
        origin = self._enqueue_planned(means)
        if origin == "sampler" and self._first.alone:
            return None
        found = self._draw(planned=origin != "sampler")
        if found is None:
            return None
        trial, drawn = found
        config, parent = drawn, None
        if self._ancestry and origin not in REFERENCES:
            config, parent = self._ancestry.descend(drawn)
        return Proposal(trial, origin, drawn, config, parent)

    def _enqueue_planned(self, means: Means) -> Origin:
        """Enqueue a planned configuration, if any; returns the origin of the next draw."""
        config, origin = self._planned(means) or (None, "sampler")
        if config is not None:
            self._optuna.enqueue(config)
        return origin

    def _planned(self, means: Means) -> tuple[TrialConfig, Origin] | None:
        """The baseline, then some papers' systems, then ladder trials and what shared weights
        propose; None for a new draw."""
        if found := self._first.next(self._tried, means):
            return found
        drawn = self._tally.count(*DRAWN, ended=True)
        laddered = self._ladder if is_time(drawn, means.spent, STARTUP_TRIALS) else None
        if laddered and (rung := laddered.next(self._tried)):
            return rung, "ladder"
        if self._guide is None:
            return None
        counts = self._tally.count("shared"), self._tally.count("sampler")
        design = self._guide.next(*counts, STARTUP_TRIALS)
        return None if design is None else (design, "shared")

    def _draw(self, planned: bool) -> tuple[optuna.Trial, TrialConfig] | None:
        """A configuration that is not a duplicate; None if there is none left.

        Args:
            planned: whether it is planned; then it runs even if its result is known.
        """
        for _ in range(EXHAUSTED):
            sampler = self._sampler if self.rejected < MAX_REJECTED else self._random
            trial = self._optuna.ask(sampler)
            try:
                config = self._space.suggest(trial)
            except ValidationError as error:
                self._optuna.refuse(trial, str(error))
            else:
                digest = config.digest()
                if digest in self._tried:
                    self._optuna.tell(trial, self._tried[digest])
                elif digest in self._known and not planned:
                    self._optuna.repeat_known(trial, self._known[digest])
                else:
                    return trial, config
            self.rejected += 1
        return None


def rejected_in_a_row(records: Sequence[TrialRecord]) -> int:
    """Number of consecutive latest trials that ended before training, without undecided ones."""
    judged = (r for r in reversed(records) if r.state != "running" or r.predicted is not None)
    rejected = itertools.takewhile(lambda record: record.state in UNTRAINED, judged)
    return sum(1 for _ in rejected)
