"""What a driver is: it runs the trials of a study until that proposes no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Protocol, Self

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.figures import Figure
from launch.records import TrialRecord
from launch.study.failures import Failure
from launch.study.study import Study
from launch.trial.data import TrialData
from launch.trial.result import TrialResult

Say = Callable[[str], None]


class Proposing(Protocol):
    """What a driver asks of a study, and reports to it; `Study` is one.

    Calls come from one thread, one after the other. Each of them has written what it changes before
    it returns: a driver may be killed at any moment.

    Attributes:
        workers: how many trials run side by side; the driver sets it before it asks for any.
    """

    workers: int

    @property
    def waits(self) -> bool:
        """Whether there may be another trial once one of those that run has reported."""

    def propose(self) -> TrialRecord | None:
        """The next trial to run; None where there is none, or with `waits` none for now."""

    def rungs(self, record: TrialRecord) -> tuple[int, ...]:
        """Epochs of a trial's training after which a snapshot is scored and reported."""

    def note_prediction(self, number: int, cost: Cost, seconds: float) -> bool:
        """Note what a trial's detector is to cost; says whether it is trained."""

    def note_rung(self, number: int, epochs: int, metrics: Metrics, seconds: float) -> bool:
        """Note what a snapshot scored at a rung; says whether the trial is trained on."""

    def end(self, number: int, outcome: TrialResult | Failure) -> None:
        """Note how a trial ended that was not ended by one of the answers above."""


class Driver(ABC):
    """Where and how the trials of a study run.

    A driver asks the study for trials, as many at once as it has places for, and runs each with
    `launch.drivers.attempt.attempt`, which turns whatever happens in it into a value. It has to

    - give each attempt the record's configuration, `study.trial_folder(record)`, `study.stages`,
      `study.ancestor(record)`, and the teachers and published weights that the settings name;
    - report predictions and rungs while the trial waits for the answer, and end an attempt that is
      answered with False without calling `study.end`: the study has ended the trial by then;
    - report every other ending with `study.end`, once, a lost process included. A trial whose end
      is not reported stays unfinished in the journal and runs again when the study is resumed;
    - end a trial that breaks its limits (`launch.drivers.deadlines`), as far as it can;
    - go on until `propose` gives None and `waits` is False, and let KeyboardInterrupt through.

    Options are fields of the class, named as those of `launch.search`; `launch.drivers.choose` has
    the drivers by their names.

    Attributes:
        name: as `launch.search(driver=...)` has it.
        measure_on: the kind of other nodes that detectors are measured on; None measures them where
            they are trained.
    """

    name: ClassVar[str]
    measure_on: str | None = None

    @property
    def here(self) -> bool:
        """Whether its trials are certain to run and to be measured on this machine."""
        return True

    @abstractmethod
    def on(self, device: str | None) -> Self:
        """This driver for trials on a device; None takes a GPU where there is one.

        Raises:
            ValueError: it could never run them; the message says why. Called before anything is
                read or started.
        """

    def ready(
        self, figures: Sequence[Figure], trial_timeout: float | None
    ) -> AbstractContextManager[None]:
        """Holds what it runs trials with, such as a connection to a cluster; nothing by default.

        Args:
            figures: what must be measured of a detector.
            trial_timeout: minutes after which a trial has to be ended; None for no such limit.

        Raises:
            ValueError: it could never run or measure a trial; the message says why.
        """
        return nullcontext()

    @abstractmethod
    def run(self, study: Study, data: TrialData, say: Say = lambda words: None) -> None:
        """Run trials until the study proposes no more; called within `ready`.

        Args:
            say: told in words, from any thread, which trials have been silent for long.

        Raises:
            KeyboardInterrupt: the search was interrupted; it can be resumed.
        """
