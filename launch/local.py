"""The serial driver: a study in one process, without Ray."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from detectors.cost import Cost
from detectors.evaluate import Metrics
from launch.attempt import attempt
from launch.study import Study
from launch.trial import TrialData
from launch.watch import Ended


def run_locally(study: Study, data: TrialData) -> None:
    """Run trial after trial until the study proposes no more."""
    while (record := study.propose()) is not None:
        folder = study.trial_folder(record)
        watch = _StudyWatch(study, record.number, study.rungs(record))
        outcome = attempt(
            record.config,
            data,
            folder,
            study.settings.device,
            study.stages,
            watch=watch,
            weights=study.settings.weights,
        )
        if not isinstance(outcome, Ended):
            study.end(record.number, outcome)


@dataclass(frozen=True)
class _StudyWatch:
    """Asks the study, which is in this process, whether a trial goes on."""

    study: Study
    number: int
    rungs: tuple[int, ...]
    start: float = field(default_factory=time.monotonic)

    def predicted(self, cost: Cost) -> None:
        self._end_unless(self.study.foresee(self.number, cost, self._seconds()))

    def reached(self, epochs: int, metrics: Metrics) -> None:
        self._end_unless(self.study.reach(self.number, epochs, metrics, self._seconds()))

    def _seconds(self) -> float:
        return time.monotonic() - self.start

    def _end_unless(self, goes_on: bool) -> None:
        if not goes_on:
            raise Ended
