"""Ends trials that hang in Ray's processes, wherever they are stuck."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from launch.drivers.deadlines import Limits, Vigil, Watchman
from launch.drivers.ray_losses import (
    LOW_MEMORY,
    PREEMPTED,
    after_low_memory,
    give_notice,
    last_words,
)
from launch.study.failures import Failure

logger = logging.getLogger(__name__)


class HangGuard(Callback):
    """Tracks Tune's trials, and kills the process of one that exceeds its limits.

    A separate thread does that: Tune's loop may wait for a lock of the hung trial, which is only
    released with its process. A trial that is silent for too long is started again once, as what it
    hangs in may be its node.

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
        self._restarted: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; only this process watches the trials."""
        return {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        with Watchman(self._vigil, self._end, self._say):
            try:
                yield
            except (KeyboardInterrupt, SystemExit):  # the latter of a handler of Ray's own
                self._give_notice()
                raise

    def _give_notice(self) -> None:
        """Let the running trials write checkpoints before their processes are killed."""
        try:
            give_notice(list(self._trials.values()))
        except Exception as error:
            # The cluster may be what has gone, and nothing that finished depends on it.
            logger.warning(f"running trials were not given notice: {error}")

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        number = self._number_of(trial.trial_id)
        if number is not None:
            self._trials[number] = trial
            self._vigil.begin(number, self._limits_of(number))
            if trial.trial_id in self.overruns:
                self._end(number, self.overruns[trial.trial_id])

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Tune starts a trial again whose process was lost."""
        number = self._number_of(trial.trial_id)
        if number is None:
            return
        self._vigil.end(number)
        words = last_words(trial)
        if PREEMPTED in words:
            trial.max_failures += 1  # it is not its fault, and no sign of a trial that kills
        elif LOW_MEMORY in words and (failure := after_low_memory(trial.config)):
            self.overruns[trial.trial_id] = failure
        elif LOW_MEMORY in words:
            self._say(f"trial {number}: its node ran out of memory; it goes on with smaller parts")

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
        if overrun.blame == "passing" and trial.trial_id not in self._restarted:
            self._restarted.add(trial.trial_id)
            self._vigil.end(number)
            self._say(f"trial {number}: {overrun.reason}; it is started again")
        else:
            self.overruns[trial.trial_id] = overrun
            trial.max_failures = 0
        # Ray kills the process by SIGKILL if it does not answer, suspended ones included.
        ray.kill(actor)
