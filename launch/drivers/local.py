"""The serial driver: a study in one process, without Ray."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FrameType
from typing import ClassVar

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.drivers.attempt import attempt, given_to
from launch.drivers.deadlines import Vigil, Watchman, limits
from launch.drivers.driver import Driver, Say, next_trial
from launch.drivers.watch import Ended
from launch.figures import FigureName
from launch.records import TrialRecord
from launch.study.failures import Failure
from launch.study.study import Study
from launch.trial.data import TrialData
from launch.trial.result import TrialResult
from launch.trial.run import pick_device
from searchspace.errors import InputError


@dataclass(frozen=True)
class LocalDriver(Driver):
    """One trial after the other, in this process.

    A trial that exceeds its limits is ended by an exception, which can only be raised in the main
    thread, and only while it executes Python code; `RayTune` can end trials that hang elsewhere.
    """

    name: ClassVar[str] = "local"

    def on(self, device: str | None) -> LocalDriver:
        pick_device(device)
        return self

    def ready(
        self, figures: Sequence[FigureName], trial_timeout: float | None
    ) -> AbstractContextManager[None]:
        if trial_timeout is not None and not can_end_trials():
            raise InputError(
                f"trial_timeout {trial_timeout:g}: with driver local, only a search in the main "
                "thread, with SIGALRM unused, can end its trials: use driver ray"
            )
        return nullcontext()

    def run(self, study: Study, data: TrialData, say: Say = lambda words: None) -> None:
        vigil = Vigil()
        with _watched(vigil, say):
            while (record := next_trial(study)) is not None:
                outcome = _run(study, record, data, vigil)
                if not isinstance(outcome, Ended):
                    study.end(record.number, outcome)


def can_end_trials() -> bool:
    """Whether a trial in this thread can be ended when it takes too long."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


class _Overdue(BaseException):
    """Ends the running trial; a BaseException, so that no error handler catches it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def _run(
    study: Study, record: TrialRecord, data: TrialData, vigil: Vigil
) -> TrialResult | Failure | Ended:
    number, minutes = record.number, study.settings.budget.trial_timeout

    def heard() -> None:
        vigil.hear(number, limits(study.record(number), study.longest, minutes))

    watch = _StudyWatch(study, number, study.rungs(record), heard)
    vigil.begin(number, limits(record, study.longest, minutes))
    try:
        return attempt(
            record.config,
            data,
            study.trial_folder(record),
            study.settings.resources.device,
            on_epoch=lambda stage, epoch, losses: heard(),
            watch=watch,
            **given_to(study, record),
        )
    except _Overdue as overdue:
        return overdue.failure
    finally:
        vigil.end(number)


@contextmanager
def _watched(vigil: Vigil, say: Callable[[str], None]) -> Iterator[None]:
    """End trials that exceed their limits, if this thread can be interrupted."""
    if not can_end_trials():
        with Watchman(vigil, lambda number, failure: None, say):
            yield
        return
    main = threading.get_ident()

    def ring(number: int, failure: Failure) -> None:
        signal.pthread_kill(main, signal.SIGALRM)

    def end(number: int, frame: FrameType | None) -> None:
        # None if the trial has ended in the meantime.
        for failure in vigil.overruns().values():
            raise _Overdue(failure)

    signal.signal(signal.SIGALRM, end)
    try:
        with Watchman(vigil, ring, say):
            yield
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Postpone the end of a trial while the study writes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _StudyWatch:
    """Asks the study, in this process, whether a trial continues."""

    study: Study
    number: int
    rungs: tuple[int, ...]
    heard: Callable[[], None]
    start: float = field(default_factory=time.monotonic)

    def predicted(self, cost: Cost) -> None:
        with _undisturbed():
            goes_on = self.study.note_prediction(self.number, cost, self._seconds())
        self._end_unless(goes_on)

    def reached(self, epochs: int, metrics: Metrics) -> None:
        with _undisturbed():
            goes_on = self.study.note_rung(self.number, epochs, metrics, self._seconds())
        self._end_unless(goes_on)

    def _seconds(self) -> float:
        return time.monotonic() - self.start

    def _end_unless(self, goes_on: bool) -> None:
        if not goes_on:
            raise Ended
        self.heard()
