"""The next trial of a study: planned trials first, then draws of the sampler; no duplicates."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from pydantic import ValidationError

from detectors.describe import describe
from launch.decisions.budget import Means
from launch.decisions.inheritance import descend
from launch.decisions.pruning_ladder import is_time, next_rung
from launch.decisions.shared_weights import Guide
from launch.records import REFERENCES, UNTRAINED, Origin, TrialRecord
from launch.study.first_trials import FirstTrials, GivenFirst
from launch.study.optuna_study import OptunaStudy
from launch.study.samplers import STARTUP_TRIALS, make_sampler
from launch.study.settings import StudySettings
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
        parent: the trial whose weights it inherits.
    """

    trial: optuna.Trial
    origin: Origin
    drawn: TrialConfig
    config: TrialConfig
    parent: int | None


class Proposals:
    """Finds the next trial.

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
    ) -> None:
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
        self._digests: dict[int, str] = {}
        self._guide: Guide | None = None
        self.rejected = 0

    def guide_by(self, scores: SharedScores) -> None:
        """Let scores with shared weights propose designs, too."""
        goal, stock = self._settings.goal, describe(self._space.baseline().detector).macs
        self._guide = Guide(scores, goal.objectives, goal.constraints, stock)

    def count(self, rejected: bool) -> None:
        """Note whether a proposal was rejected."""
        self.rejected = self.rejected + 1 if rejected else 0

    def find(self, records: Sequence[TrialRecord], means: Means) -> Proposal | None:
        """The next trial; None if the space has nothing new.

        Args:
            records: the study's trials.
            means: of the search.
        """
        tried = {self._digest(record): record for record in records}
        origin = self._enqueue_planned(tried, means)
        if origin == "sampler" and self._first.alone:
            return None
        found = self._draw(tried, planned=origin != "sampler")
        if found is None:
            return None
        trial, drawn = found
        config, parent = drawn, None
        if self._settings.start.inherit and origin not in REFERENCES:
            config, parent = descend(drawn, records)
        return Proposal(trial, origin, drawn, config, parent)

    def _digest(self, record: TrialRecord) -> str:
        """The digest of what the space drew for a trial, which never changes."""
        known = self._digests.get(record.number)
        if known is None:
            known = self._digests[record.number] = record.as_drawn.digest()
        return known

    def _enqueue_planned(self, tried: Mapping[str, TrialRecord], means: Means) -> Origin:
        """Enqueue a planned configuration, if any; returns the origin of the next draw."""
        config, origin = self._planned(tried, means) or (None, "sampler")
        if config is not None:
            self._optuna.enqueue(config)
        return origin

    def _planned(
        self, tried: Mapping[str, TrialRecord], means: Means
    ) -> tuple[TrialConfig, Origin] | None:
        """The baseline, then some papers' systems, then ladder trials and what shared weights
        propose; None for a new draw.

        Args:
            tried: the study's trials by the digest of what the space drew.
        """
        if found := self._first.next(tried, means):
            return found
        records, settings = tuple(tried.values()), self._settings
        if is_time(records, means.spent, STARTUP_TRIALS):
            ladder, objectives = settings.start.ladder, settings.goal.objectives
            if rung := next_rung(records, self._space, ladder, objectives):
                return rung, "ladder"
        if self._guide is None:
            return None
        design = self._guide.next(records, STARTUP_TRIALS, self._known_designs)
        return None if design is None else (design, "shared")

    def _draw(
        self, tried: Mapping[str, TrialRecord], planned: bool
    ) -> tuple[optuna.Trial, TrialConfig] | None:
        """A configuration that is not a duplicate; None if there is none left.

        Args:
            tried: the study's trials by the digest of what the space drew.
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
                if digest in tried:
                    self._optuna.tell(trial, tried[digest])
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
