"""Shared weights of a search: which designs share them, and what comes of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import optuna
from optuna.samplers import RandomSampler
from pydantic import ValidationError

from detectors.describe import describe
from launch.decisions.shared_weights import Guide, scope
from launch.drivers.driver import Driver, Say
from launch.figures import FIGURES, of_source
from launch.records import TrialRecord
from launch.report.words import show_seconds
from launch.study.proposals import EXHAUSTED
from launch.study.search_settings import SearchSettings
from launch.study.settings import StudySettings
from launch.study.study import Study
from launch.trial.data import TrialData
from launch.trial.errors import SettingsError
from launch.trial.shared_scores import SharedScores, SharedTask
from launch.trial.shared_weights import STATISTICS_BATCHES, run_shared
from searchspace import Space, TrialConfig
from searchspace.words import counted


def check_shared(asked: SearchSettings) -> None:
    """Raise `SettingsError` where shared weights can be of no use."""
    share, objectives = asked.sampling.shared_weights, asked.goal.objectives
    if share is not None and not of_source("metrics", objectives):
        raise SettingsError(
            f"shared_weights {share:g}: {' and '.join(objectives)} are known before any training; "
            "leave it out"
        )


def with_shared_weights(driver: Driver, study: Study, data: TrialData, say: Say) -> None:
    """Train and score designs with shared weights, where that is asked for and not done yet."""
    if study.settings.sampling.shared_weights is None or study.shared_scores is not None:
        return
    task = _task(study, data, study.settings.sampling.shared_weights)
    about = counted(len(task.designs), "design")
    say(f"Shared weights: training one network for {about}, {counted(task.steps, 'step')} at most")
    scores = SharedScores.model_validate_json(
        driver.alone(run_shared, task.model_dump_json(), study, data)
    )
    study.guide_by(scores)
    say(f"Shared weights: {_took(scores)}")


def shared_in_words(
    settings: StudySettings, scores: SharedScores, records: tuple[TrialRecord, ...], space: Space
) -> str:
    """What shared weights took, how far they can be trusted, and what they decided."""
    goal, stock = settings.goal, describe(space.baseline().detector).macs
    guide = Guide(scores, goal.objectives, goal.constraints, stock)
    for record in records:
        guide.note(None, record)
    trust = guide.trust
    name = FIGURES[guide.figure].label
    if trust.correlation is None:
        agree = f"too few finished trials to compare {name} with"
    else:
        among = counted(trust.trials, "finished trial")
        agree = f"rank correlation with the {name} of {among}: {trust.correlation:.2f}"
        if not trust.weight:
            agree += ", too low to go by them any longer"
    decided = sum(record.origin == "shared" for record in records)
    return f"{_took(scores)}; {agree}; they proposed {decided} of {counted(len(records), 'trial')}"


def _took(scores: SharedScores) -> str:
    return (
        f"{counted(scores.steps, 'step')} of one network for {counted(scores.drawn, 'design')} in "
        f"{show_seconds(scores.training)}, {len(scores.scores)} of them scored in "
        f"{show_seconds(scores.scoring)}"
    )


def _task(study: Study, data: TrialData, share: float) -> SharedTask:
    settings, baseline = study.settings, study.space.baseline()
    budget, train = settings.budget, baseline.train
    images = len(data.train.images)
    batch = min(train.batch_size, images)
    limits = (budget.time_limit, budget.device_hours and 3600 * budget.device_hours)
    size = scope(
        share,
        budget.trials,
        train.epochs * (images // batch),
        math.ceil(len(data.val.images) / batch) + STATISTICS_BATCHES,
        min((limit for limit in limits if limit is not None), default=None),
    )
    return SharedTask(
        baseline=baseline,
        designs=tuple(itertools.islice(designs_of(study.space, settings), size.designs)),
        steps=size.steps,
        seconds=size.training,
        scoring=size.scoring,
        seed=settings.sampling.seed,
        device=settings.resources.device,
        weights=settings.start.weights,
    )


def designs_of(space: Space, settings: SearchSettings) -> Iterator[TrialConfig]:
    """Designs of a space, each detector once: the baseline, papers' systems if they are to run,
    then random ones, until the space has hardly any others."""
    systems = space.systems() if settings.start.papers else {}
    sampler = RandomSampler(seed=settings.sampling.seed)
    seen, in_vain = set(), 0
    for config in itertools.chain((space.baseline(), *systems), _random(space, sampler)):
        if config is not None and config.detector not in seen:
            seen.add(config.detector)
            in_vain = 0
            yield config
        else:
            in_vain += 1
            if in_vain >= EXHAUSTED:
                return


def _random(space: Space, sampler: RandomSampler) -> Iterator[TrialConfig | None]:
    """Random draws without end; None where one is no valid configuration."""
    study = optuna.create_study(sampler=sampler)
    while True:
        try:
            yield space.suggest(study.ask())
        except ValidationError:
            yield None
