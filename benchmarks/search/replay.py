"""A search over the recorded benchmark, in simulated time with any number of workers."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.search.table import Design, Table
from launch.drivers.driver import Proposing
from launch.records import TrialRecord

PATIENCE = 1.0
"""Seconds after which an idle worker asks again."""


@dataclass(frozen=True)
class Moment:
    """The state of a search when a trial ended.

    Attributes:
        device_seconds: total time of all workers until then.
        finished: number of finished trials.
        hypervolume: their hypervolume, as a share of the whole table's.
    """

    device_seconds: float
    finished: int
    hypervolume: float


@dataclass
class Replay:
    """One search in simulated time: a driver that looks up what trials would have come to.

    Attributes:
        study: the study that proposes trials, used like by any driver.
        shares: trials with the same dense detector train it once.
        worked: total seconds of all workers.
        found: finished designs in order of time.
        trained: by dense detector, the epochs that are in the store.
        lost: by trial number, designs that were ended before or during training.
    """

    table: Table
    study: Proposing
    shares: bool = True
    worked: float = 0.0
    found: list[Design] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    trained: dict[str, int] = field(default_factory=dict)
    lost: dict[int, Design] = field(default_factory=dict)

    def run(self, workers: int = 4) -> Replay:
        """Let `workers` run trials until the study proposes no more."""
        ties = itertools.count()
        queue = [(0.0, next(ties), self._worker()) for _ in range(workers)]
        while queue:
            now, _, worker = heapq.heappop(queue)
            seconds = next(worker, None)
            if seconds is not None:
                heapq.heappush(queue, (now + seconds, next(ties), worker))
        return self

    def _worker(self) -> Iterator[float]:
        """One worker: yields the seconds of each of its steps, before the step takes effect."""
        while True:
            record = self.study.propose()
            if record is not None:
                yield from self._work(record)
            elif self.study.waits:
                yield PATIENCE
            else:
                return

    def _work(self, record: TrialRecord) -> Iterator[float]:
        """One trial, from its proposal to its end."""
        number, design, worked = record.number, self.table.find(record.config), 0.0
        self.lost.pop(number, None)
        for seconds in self._steps(record, design):
            worked += seconds
            self.worked += seconds
            yield seconds
        if number not in self.lost:
            self.found.append(design)
            share = self.table.hypervolume(self.found)
            self.moments.append(Moment(self.worked, len(self.found), share))
            self.study.end(number, design.result.model_copy(update={"seconds": worked}))

    def _steps(self, record: TrialRecord, design: Design) -> Iterator[float]:
        """The steps of one trial, in seconds; one that is stopped has no more."""
        number, costs, epochs = record.number, design.seconds, len(design.curve)
        yield costs.predict
        if not self.study.note_prediction(number, design.result.predicted, costs.predict):
            self.lost[number] = design
            return
        done = self.trained.get(design.parent, 0) if self.shares else 0
        for rung in self.study.rungs(record):
            if not done < rung < epochs:
                continue
            yield (rung - done) * costs.train / epochs + costs.snapshot
            self.trained[design.parent] = done = rung
            if not self.study.note_rung(number, rung, design.metrics_at(rung), 0.0):
                self.lost[number] = design
                return
        yield (epochs - done) * costs.train / epochs
        self.trained[design.parent] = epochs
        # An existing dense detector has been scored; that time was counted for the other trial.
        yield costs.compress + costs.score
