"""What a study runs next: planned trials first, then what the sampler draws; nothing twice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
import torch
from optuna.trial import FixedTrial
from pydantic import ValidationError

from detectors.quiet import computing, threads
from launch.decisions import early
from launch.decisions.inheritance import descend
from launch.decisions.pruning_ladder import is_time, next_rung
from launch.records import UNTRAINED, Origin, TrialRecord
from launch.study.optuna_study import Told
from launch.study.samplers import STARTUP_TRIALS, make_sampler
from launch.study.settings import StudySettings
from searchspace import Space, TrialConfig

CPU = torch.device("cpu")

MAX_REJECTED = 5
"""Proposals in a row that may be rejected - duplicates, refused, ended before training - before a
random one takes their place."""

EXHAUSTED = 200
"""Draws in a row that may be duplicates or refused before the space counts as exhausted."""

First = Mapping[str, tuple[TrialConfig, Origin]]
"""What is run before anything is drawn, by its digest and in this order."""


@dataclass(frozen=True)
class Proposal:
    """A trial that a study may run.

    Attributes:
        trial: Optuna's, whose parameters draw the configuration, inheritance apart.
        parent: the trial from whose trained detector its training starts.
    """

    trial: optuna.Trial
    origin: Origin
    config: TrialConfig
    parent: int | None


class Proposals:
    """Finds what to run next.

    Attributes:
        rejected: proposals in a row that came to nothing so far.
    """

    def __init__(
        self, space: Space, settings: StudySettings, told: Told, first: First, seed: int
    ) -> None:
        self._space = space
        self._settings = settings
        self._told = told
        self._first = first
        self._random = optuna.samplers.RandomSampler(seed=seed)
        self._sampler = make_sampler(settings.sampler, seed)
        known = [result for source in settings.known for result in source.results]
        told.know(known)
        self._known = {result.config(space).digest(): result for result in known}
        self.rejected = 0

    def count(self, rejected: bool) -> None:
        """Note whether a proposal came to nothing."""
        self.rejected = self.rejected + 1 if rejected else 0

    def find(self, records: Sequence[TrialRecord], spent: float) -> Proposal | None:
        """What to run beside and after the study's trials; None where the space has nothing new.

        Args:
            records: the study's trials.
            spent: share of the budget.
        """
        drawn = self._as_drawn(records)
        known = {record.config.digest(): record for record in drawn}
        origin = self._enqueue_planned(known, spent)
        found = self._draw(known, planned=origin != "sampler")
        if found is None:
            return None
        trial, config = found
        parent = None
        if self._settings.inherit and origin not in early.FREE:
            trained = {record.number: record.config for record in records}
            config, parent = descend(config, drawn, trained)
        return Proposal(trial, origin, config, parent)

    def _enqueue_planned(self, known: Mapping[str, TrialRecord], spent: float) -> Origin:
        """Make the next draw what is planned; says what it will be."""
        config, origin = self._planned(known, spent) or (None, "sampler")
        if config is not None:
            self._told.study.enqueue_trial(self._space.to_params(config))
        return origin

    def _planned(
        self, known: Mapping[str, TrialRecord], spent: float
    ) -> tuple[TrialConfig, Origin] | None:
        """The baseline, then the papers' systems, then a rung of a ladder; None for a new draw.

        Args:
            known: the study's trials by the digest of what the space drew.
        """
        for digest, (config, origin) in self._first.items():
            if digest not in known:
                return config, origin
        records, settings = tuple(known.values()), self._settings
        if not is_time(records, spent, STARTUP_TRIALS):
            return None
        rung = next_rung(records, self._space, settings.ladder, settings.objectives)
        return rung and (rung, "ladder")

    def _draw(
        self, known: Mapping[str, TrialRecord], planned: bool
    ) -> tuple[optuna.Trial, TrialConfig] | None:
        """A configuration that no trial has had; None where none is left.

        Args:
            known: the study's trials by the digest of what the space drew.
            planned: a study runs what it plans, known from elsewhere or not.
        """
        for _ in range(EXHAUSTED):
            study = self._told.study
            study.sampler = self._sampler if self.rejected < MAX_REJECTED else self._random
            # A sampler with a model computes for seconds: no measurement shall see it.
            with computing(CPU, "proposing a trial"), threads(1):
                trial = study.ask()
            try:
                config = self._space.suggest(trial)
            except ValidationError as error:
                self._told.refuse(trial, str(error))
            else:
                digest = config.digest()
                if digest in known:
                    self._told.tell(trial.number, known[digest])
                elif digest in self._known and not planned:
                    self._told.tell_known(trial, self._known[digest])
                else:
                    return trial, config
            self.rejected += 1
        return None

    def _as_drawn(self, records: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
        """The records with the configurations that the space drew, before they inherited."""
        return tuple(
            record.model_copy(update={"config": self._space.suggest(FixedTrial(record.params))})
            if record.parent is not None
            else record
            for record in records
        )


def first_trials(space: Space, papers: bool) -> First:
    """The baseline, then the papers' systems where these are wanted."""
    baseline = space.baseline()
    planned: dict[str, tuple[TrialConfig, Origin]] = {baseline.digest(): (baseline, "baseline")}
    if papers:
        for config in space.papers().values():
            planned.setdefault(config.digest(), (config, "paper"))
    return planned


def rejected_in_a_row(records: Sequence[TrialRecord]) -> int:
    """How many of the latest trials ended before training; those not judged yet do not count."""
    judged = (r for r in reversed(records) if r.state != "running" or r.predicted is not None)
    rejected = itertools.takewhile(lambda record: record.state in UNTRAINED, judged)
    return sum(1 for _ in rejected)
