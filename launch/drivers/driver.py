"""The contract of a driver, which runs the trials of a study until it proposes no more."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar, Protocol, Self

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.figures import FigureName
from launch.records import TrialRecord
from launch.study.failures import Failure
from launch.study.study import Study
from launch.trial.data import TrialData
from launch.trial.result import TrialResult
from launch.trial.teachers import LoadTeacher, teachers_in

Say = Callable[[str], None]
Work = Callable[[str, TrialData, Path, LoadTeacher], str]
"""Maps a task, the data, the study's folder of stages where this runs, and what loads the saved
detectors that the study knows, to an answer."""

PAUSE = 1.0
"""Seconds between two proposals while there is no trial to run."""


class Proposing(Protocol):
    """The part of a study that a driver uses; `Study` implements it.

    Calls come from one thread, one after the other. Each writes its changes to disk before it
    returns, as a driver may be killed at any moment.

    Attributes:
        workers: number of trials in parallel; the driver sets it before the first proposal.
    """

    workers: int

    @property
    def waits(self) -> bool:
        """Whether there may be another trial after a running one has reported."""

    def propose(self) -> TrialRecord | None:
        """The next trial to run; None if there is none, or with `waits` none for now."""

    def rungs(self, record: TrialRecord) -> tuple[int, ...]:
        """Epochs of a trial's training after which a snapshot is scored and reported."""

    def note_prediction(self, number: int, cost: Cost, seconds: float) -> bool:
        """Report the predicted cost of a trial's detector; returns whether to train it."""

    def note_rung(self, number: int, epochs: int, metrics: Metrics, seconds: float) -> bool:
        """Report the metrics of a snapshot at a rung; returns whether training continues."""

    def end(self, number: int, outcome: TrialResult | Failure) -> None:
        """Report the end of a trial that was not ended by one of the answers above."""


class Driver(ABC):
    """Runs the trials of a study.

    A driver asks the study for as many trials as it has places for, and runs each with
    `launch.drivers.attempt.attempt`, which returns every ending as a value. It has to

    - give each attempt the record's configuration, `study.trial_folder(record)`, `study.stages`,
      `study.ancestor(record)`, `study.detectors(record)`, and the published weights that the
      settings name;
    - report predictions and rungs while the trial waits for the answer, and end an attempt that is
      answered with False, without calling `study.end`: the study has ended the trial already;
    - report every other ending, including a lost process, with a single call of `study.end`. A
      trial whose end is not reported stays unfinished in the journal and runs again on resuming;
    - end a trial that exceeds its limits (`launch.drivers.deadlines`), if it can;
    - continue until `propose` returns None and `waits` is False, and not catch KeyboardInterrupt.

    Options are fields of the class, with the names of `launch.search`; `launch.drivers.choose` has
    the drivers by name.

    Attributes:
        name: the name in `launch.search(driver=...)`.
    """

    name: ClassVar[str]

    @property
    def measure_on(self) -> str | None:
        """The kind of nodes on which detectors are measured; None for those that train."""
        return None

    @property
    def here(self) -> bool:
        """Whether its trials certainly run and are measured on this machine."""
        return True

    def places(self) -> int:
        """The trials in parallel that this machine has room for; one by default."""
        return 1

    def cores(self) -> float | None:
        """The CPU cores on which a trial computes; None for all of its machine, the default."""
        return None

    @abstractmethod
    def on(self, device: str | None) -> Self:
        """This driver for trials on a device; None for a GPU if there is one.

        Called before anything is read or started.

        Raises:
            ValueError: it cannot run trials there; the message says why.
        """

    def ready(
        self, figures: Sequence[FigureName], trial_timeout: float | None
    ) -> AbstractContextManager[None]:
        """Holds the resources for trials, such as a connection to a cluster; by default none.

        Args:
            figures: figures that must be measured.
            trial_timeout: minutes after which a trial must be ended; None for no limit.

        Raises:
            ValueError: it cannot run or measure trials; the message says why.
        """
        return nullcontext()

    def alone(self, work: Work, task: str, study: Study, data: TrialData) -> str:
        """Do one piece of work before any trial runs, within `ready`; by default in this process.

        Args:
            work: a function of a module.
        """
        return work(task, data, study.stages.resolve(), teachers_in(study.settings.teachers))

    @abstractmethod
    def run(self, study: Study, data: TrialData, say: Say = lambda words: None) -> None:
        """Run trials until the study proposes no more; called within `ready`.

        Args:
            say: called, from any thread, with messages about trials that have been silent for long.

        Raises:
            KeyboardInterrupt: the search was interrupted; it can be resumed.
        """


def next_trial(study: Study) -> TrialRecord | None:
    """The next trial for a driver of which none runs; None if there is none.

    It is waited for while trials of other drivers of the study may have to be taken over.
    """
    while (record := study.propose()) is None and study.waits:
        time.sleep(PAUSE)
    return record
