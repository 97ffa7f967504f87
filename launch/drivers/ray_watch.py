"""Ends trials that hang in Ray's processes, whatever those are stuck in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from launch.drivers.deadlines import Limits, Vigil, Watchman
from launch.study.failures import Failure


class HangGuard(Callback):
    """Hears Tune's trials, and kills the process of one that breaks its limits.

    That is done by a thread of its own: Tune's loop may itself wait for a lock that the hung trial
    holds, and which only dies with its process.

    Attributes:
        overruns: by Tune's name of the trial, why it was ended.
    """

    def __init__(
        self,
        number_of: Callable[[str], int | None],
        limits_of: Callable[[int], Limits],
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            number_of: the study's number of one of Tune's trials; None where it is ended.
            limits_of: what the study's trial may take by now.
            say: told who is waited for.
        """
        self.overruns: dict[str, Failure] = {}
        self._number_of, self._limits_of, self._say = number_of, limits_of, say
        self._vigil = Vigil()
        self._trials: dict[int, Trial] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; trials are watched over by this process alone."""
        return {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        with Watchman(self._vigil, self._end, self._say):
            yield

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        number = self._number_of(trial.trial_id)
        if number is not None:
            self._trials[number] = trial
            self._vigil.begin(number, self._limits_of(number))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        number = self._number_of(trial.trial_id)
        if number is not None:
            self._vigil.hear(number, self._limits_of(number))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._forget(trial)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._forget(trial)

    def _forget(self, trial: Trial) -> None:
        for number in [n for n, known in self._trials.items() if known is trial]:
            del self._trials[number]
            self._vigil.end(number)

    def _end(self, number: int, overrun: Failure) -> None:
        trial = self._trials.get(number)
        actor = trial and trial.temporary_state.ray_actor
        if actor is None:
            return  # Its process is lost already, or not there yet.
        self.overruns[trial.trial_id] = overrun
        trial.max_failures = 0
        # Ray ends the process by SIGKILL where it does not answer, stopped ones included.
        ray.kill(actor)
