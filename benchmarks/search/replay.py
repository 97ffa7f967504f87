"""A search over the recorded benchmark, in simulated time with any number of workers."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.search.table import Design, Table
from searchspace import TrialConfig


class Strategy(Protocol):
    """What decides in a replay. It sees configurations and figures, never the table.

    Attributes:
        shares: trials with the same dense detector train it once.
        rungs: epochs of the dense training after which `goes_on` is asked.
    """

    shares: bool
    rungs: tuple[int, ...]

    def propose(self) -> tuple[int, TrialConfig] | None:
        """The number and configuration of the next trial; None where there is none for now."""

    def begins(self, number: int, design: Design) -> bool:
        """Whether a trial whose cost was just predicted is worth training."""

    def goes_on(self, number: int, epochs: int, design: Design) -> bool:
        """Whether a trial goes on behind a rung."""

    def ends(self, number: int, design: Design, seconds: float) -> None:
        """A trial came to its end."""


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
        stopped: designs that were stopped in training, and not gone on with.
    """

    table: Table
    strategy: Strategy
    worked: float = 0.0
    found: list[Design] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    trained: dict[str, int] = field(default_factory=dict)
    stopped: dict[int, Design] = field(default_factory=dict)

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
        while (proposal := self.strategy.propose()) is not None:
            number, config = proposal
            design, worked = self.table.find(config), 0.0
            steps = self._trial(number, design)
            for seconds in steps:
                worked += seconds
                self.worked += seconds
                yield seconds
            if number not in self.stopped:
                self._note(design)
                self.strategy.ends(number, design, worked)

    def _trial(self, number: int, design: Design) -> Iterator[float]:
        """The steps of one trial, in seconds; a trial that is stopped has no more."""
        self.stopped.pop(number, None)
        yield design.seconds.predict
        if not self.strategy.begins(number, design):
            self.stopped[number] = design
            return
        epochs = len(design.curve)
        done = self.trained.get(design.parent, 0) if self.strategy.shares else 0
        rungs = [rung for rung in self.strategy.rungs if done < rung < epochs]
        for rung in rungs:
            yield (rung - done) * design.seconds.train / epochs + design.seconds.snapshot
            self.trained[design.parent] = done = rung
            if not self.strategy.goes_on(number, rung, design):
                self.stopped[number] = design
                return
        yield (epochs - done) * design.seconds.train / epochs
        self.trained[design.parent] = epochs
        yield design.seconds.compress + design.seconds.score

    def _note(self, design: Design) -> None:
        self.found.append(design)
        share = self.table.hypervolume(self.found)
        self.moments.append(Moment(self.worked, len(self.found), share))
