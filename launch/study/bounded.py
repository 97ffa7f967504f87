"""Samplers whose model is fitted to a bounded number of trials.

Optuna's models look at all trials of a study for each proposal, so that proposals become slower the
longer a search is: with TPE and thousands of trials, they would take longer than small trainings.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from launch.study.delegating import Delegating

SEEN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
"""The states of trials that models look at."""

BEST_SHARE = 1 / 4
"""The share of the best trials in those that a model is fitted to; the rest are the latest."""


class Bounded(Delegating):
    """A sampler that sees the best trials and the latest, so many in all.

    The best are those on the first fronts of trials that satisfy all constraints. Which trials it
    sees depends on the study alone.
    """

    def __init__(self, sampler: BaseSampler, most: int) -> None:
        super().__init__(sampler)
        self._most = most
        self._points = Points()
        self._viewed: tuple[int, optuna.Study, optuna.Study] | None = None

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        return self._samplers[0]

    def _view(self, study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
        # The same for all parameters of a trial.
        if self._viewed is None or self._viewed[:2] != (trial.number, study):
            self._viewed = trial.number, study, self._seen(study)
        return self._viewed[2]

    def _seen(self, study: optuna.Study) -> optuna.Study:
        trials = study.get_trials(deepcopy=False, states=SEEN)
        if len(trials) > self._most:
            numbers = chosen(trials, self._most, study.directions, self._points)
            trials = [trial for trial in trials if trial.number in numbers]
        return View(study, trials)


class Points:
    """The objectives of trials that may be among the best, which never change once one has ended:
    each trial is looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, list[float] | None] = {}

    def of(self, trial: FrozenTrial) -> list[float] | None:
        """The objectives of an ended trial; None if it lacks them or breaks a constraint."""
        if trial.number not in self._known:
            self._known[trial.number] = trial.values if _is_feasible(trial) else None
        return self._known[trial.number]


def _is_feasible(trial: FrozenTrial) -> bool:
    complete = trial.state == TrialState.COMPLETE
    return complete and all(value <= 0 for value in trial.constraints.values())


class View(optuna.Study):
    """A study that has only some trials, of its own or others, without a copy of them."""

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        # Not `super().__init__`, which would look the study up in its storage.
        self.__dict__.update(study.__dict__)
        self._seen = trials

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        found = [trial for trial in self._seen if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


def chosen(
    trials: Sequence[FrozenTrial],
    most: int,
    directions: Sequence[StudyDirection],
    points: Points,
) -> set[int]:
    """The numbers of the trials that a model is fitted to.

    Args:
        trials: in any of the states `SEEN`, in order of their numbers.
        most: the most trials; a quarter of them may still run, which tells a model where not to
            look again.
        points: what is known of trials that have ended.
    """
    running = [trial.number for trial in trials if trial.state == TrialState.RUNNING]
    ended = [trial for trial in trials if trial.state != TrialState.RUNNING]
    best = _best(ended, int(most * BEST_SHARE), directions, points)
    numbers = {*best, *running[-(most // 4) :]}
    for trial in reversed(ended):
        if len(numbers) >= most:
            break
        numbers.add(trial.number)
    return numbers


def _best(
    ended: Sequence[FrozenTrial],
    count: int,
    directions: Sequence[StudyDirection],
    points: Points,
) -> list[int]:
    """The numbers of so many trials with objectives that satisfy all constraints, front by front,
    of one front the latest first."""
    # Imported here: most searches have too few trials to need it.
    import numpy as np
    from moocore import pareto_rank

    found = {trial.number: point for trial in ended if (point := points.of(trial))}
    if not found:
        return []
    maximise = [direction == StudyDirection.MAXIMIZE for direction in directions]
    ranks = pareto_rank(np.array(list(found.values())), maximise=maximise)
    numbers = np.array(list(found))
    return numbers[np.lexsort((-numbers, ranks))[:count]].tolist()
