"""How calls are warmed up and timed in turns, with the standard library alone.

`sparrow bundle` copies this file to devices that have neither Sparrow nor PyTorch, so that these
measure in the same way.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

UNPACKED = "sparrow-bundle-"
"""Prefix of the folder into which a bundle is unpacked, before the number of its process."""

WINDOW = 5
"""Calls in a window of the warm-up; its median is compared with that of the window before."""

SETTLED = 0.03
"""Relative change between two windows' medians at which a warm-up ends."""

MOST_CALLS = 100
MOST_SECONDS = 10.0
"""The longest warm-up, though it always takes two windows."""

LEAST_RUNS = 5
"""The fewest calls of the reference in a block."""

LEAST_PASSES = 6
"""With fewer passes, their median has no confidence interval."""

Timed = Callable[[], float]
"""Makes one call, and returns the seconds that it took."""


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up ended.

    Attributes:
        calls: number of calls.
        seconds: median of the last window.
        settled: whether two consecutive windows agreed before calls or time ran out.
    """

    calls: int
    seconds: float
    settled: bool


@dataclass(frozen=True)
class Effort:
    """How much is timed for each subject.

    Attributes:
        runs: the most calls in a block.
        passes: the most blocks at first.
        seconds: time for all blocks, including those of the network and the reference.
        interval: further blocks are timed, within `seconds`, while the relative width of the
            ratio's interval is above this.
    """

    runs: int
    passes: int
    seconds: float
    interval: float

    def affords(self, latency: float) -> tuple[int, int]:
        """Runs in a block and passes for a subject of this latency in seconds.

        The reference takes as long as the subject, the network alone a third of it.
        """
        calls = self.seconds / (latency * (1 + 1 + 1 / 3))
        passes = min(self.passes, max(LEAST_PASSES, int(calls)))
        return max(1, min(self.runs, int(calls / passes))), passes


def warm_up(timed: Timed) -> WarmUp:
    """Call until the medians of two consecutive windows agree within `SETTLED`.

    The first call, in which a runtime may still compile or allocate, is ignored.
    """
    timed()
    start, calls, before = time.monotonic(), 1, 0.0
    while True:
        now = statistics.median(timed() for _ in range(WINDOW))
        calls += WINDOW
        if abs(now - before) <= SETTLED * before:
            return WarmUp(calls, now, settled=True)
        late = calls >= MOST_CALLS or time.monotonic() - start > MOST_SECONDS
        if before and late:
            return WarmUp(calls, now, settled=False)
        before = now


def reference_runs(reference: WarmUp, spans: Sequence[float]) -> int:
    """Calls of the reference that take as long as the average block next to it."""
    return max(LEAST_RUNS, round(statistics.fmean(spans) / reference.seconds))


def take_turns(calls: Sequence[tuple[Timed, int]], passes: int) -> list[list[list[float]]]:
    """Time `passes` rounds in which each call gets one block; seconds by call, pass and run.

    Args:
        calls: each call, with its number of runs in a block.
    """
    seconds: list[list[list[float]]] = [[] for _ in calls]
    for _ in range(passes):
        for blocks, (timed, runs) in zip(seconds, calls):
            blocks.append([timed() for _ in range(runs)])
    return seconds
