"""Ends trials that hang in Ray's processes, wherever they are stuck."""

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
    """Tracks Tune's trials, and kills the process of one that exceeds its limits.

    A separate thread does that: Tune's loop may wait for a lock of the hung trial, which is only
    released with its process.

    Attributes:
        overruns: by Tune's trial id, why it was ended.
    """

    def __init__(
        self,
        number_of: Callable[[str], int | None],
        limits_of: Callable[[int], Limits],
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            number_of: returns the study's number of a Tune trial; None if it has ended.
            limits_of: returns the current limits of a study's trial.
            say: called with messages about trials that are waited for.
        """
        self.overruns: dict[str, Failure] = {}
        self._number_of, self._limits_of, self._say = number_of, limits_of, say
        self._vigil = Vigil()
        self._trials: dict[int, Trial] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; only this process watches the trials."""
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
        if trial is None or (actor := trial.temporary_state.ray_actor) is None:
            return  # its process is lost already, or has not started yet
        self.overruns[trial.trial_id] = overrun
        trial.max_failures = 0
        # Ray kills the process by SIGKILL if it does not answer, suspended ones included.
        ray.kill(actor)
