"""A search over the recorded benchmark, in simulated time with any number of workers."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.search.table import Design, Table
from searchspace import TrialConfig

PATIENCE = 1.0
"""Seconds after which a worker without work asks again."""


class Strategy(Protocol):
    """What decides in a replay.

    Attributes:
        shares: trials with the same dense detector train it once.
        waits: trials that run may yet give a worker something to do.
    """

    shares: bool
    waits: bool

    def propose(self) -> tuple[int, TrialConfig] | None:
        """The number and configuration of the next trial; None where there is none for now."""

    def foresee(self, number: int, design: Design) -> bool:
        """Whether a trial whose cost was just predicted is trained."""

    def rungs(self, number: int) -> tuple[int, ...]:
        """Epochs of the dense training after which a trial may be stopped."""

    def reach(self, number: int, epochs: int, design: Design) -> bool:
        """Whether a trial goes on behind a rung."""

    def end(self, number: int, design: Design, seconds: float) -> None:
        """A trial came to a result."""


@dataclass(frozen=True)
class Moment:
    """The state of a search when a trial ended.

    Attributes:
        device_seconds: what all workers have worked until then.
        finished: trials that came to a result.
        hypervolume: of what they found, as a share of the whole table's.
    """

    device_seconds: float
    finished: int
    hypervolume: float


@dataclass
class Replay:
    """One search in simulated time.

    Attributes:
        worked: seconds that all workers together have worked.
        found: designs that came to a result, in the order of time.
        trained: epochs of each dense detector that lie in the store.
        lost: designs, by the number of their trial, that were ended before or in training.
    """

    table: Table
    strategy: Strategy
    worked: float = 0.0
    found: list[Design] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    trained: dict[str, int] = field(default_factory=dict)
    lost: dict[int, Design] = field(default_factory=dict)

    def run(self, workers: int = 4) -> Replay:
        """Let so many workers run trials until the strategy has no more."""
        ties = itertools.count()
        queue = [(0.0, next(ties), self._worker()) for _ in range(workers)]
        while queue:
            now, _, worker = heapq.heappop(queue)
            seconds = next(worker, None)
            if seconds is not None:
                heapq.heappush(queue, (now + seconds, next(ties), worker))
        return self

    def _worker(self) -> Iterator[float]:
        """One worker: gives the seconds that each of its steps takes, before what comes of it."""
        while True:
            proposal = self.strategy.propose()
            if proposal is not None:
                yield from self._work(*proposal)
            elif self.strategy.waits:
                yield PATIENCE
            else:
                return

    def _work(self, number: int, config: TrialConfig) -> Iterator[float]:
        """One trial, from its proposal to its end."""
        design, worked = self.table.find(config), 0.0
        self.lost.pop(number, None)
        for seconds in self._steps(number, design):
            worked += seconds
            self.worked += seconds
            yield seconds
        if number not in self.lost:
            self.found.append(design)
            share = self.table.hypervolume(self.found)
            self.moments.append(Moment(self.worked, len(self.found), share))
            self.strategy.end(number, design, worked)

    def _steps(self, number: int, design: Design) -> Iterator[float]:
        """The steps of one trial, in seconds; one that is stopped has no more."""
        costs, epochs = design.seconds, len(design.curve)
        yield costs.predict
        if not self.strategy.foresee(number, design):
            self.lost[number] = design
            return
        done = self.trained.get(design.parent, 0) if self.strategy.shares else 0
        for rung in self.strategy.rungs(number):
            if not done < rung < epochs:
                continue
            yield (rung - done) * costs.train / epochs + costs.snapshot
            self.trained[design.parent] = done = rung
            if not self.strategy.reach(number, rung, design):
                self.lost[number] = design
                return
        yield (epochs - done) * costs.train / epochs
        self.trained[design.parent] = epochs
        # A dense detector that is there has been scored; its share of the time is the parent's.
        yield costs.compress + costs.score
