"""Blocks of timed calls, taken in turns after a warm-up that ends when the latency settles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from detectors.locks import progress

WINDOW = 5
"""Calls in a window of the warm-up; its median is compared with that of the window before."""

SETTLED = 0.03
"""Relative change between two windows' medians at which a warm-up ends."""

MOST_CALLS = 100
MOST_SECONDS = 10.0
"""The longest warm-up, though it always takes two windows."""

Call = Callable[[], object]


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


def timed(call: Call, device: torch.device) -> float:
    """Seconds until the device has finished one call. Renews the lease of the device."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    progress()
    return seconds


def warm_up(call: Call, device: torch.device) -> WarmUp:
    """Call until the medians of two consecutive windows agree within `SETTLED`.

    The first call, in which a runtime may still compile or allocate, is ignored.
    """
    timed(call, device)
    start, calls, before = time.monotonic(), 1, 0.0
    while True:
        now = statistics.median(timed(call, device) for _ in range(WINDOW))
        calls += WINDOW
        if abs(now - before) <= SETTLED * before:
            return WarmUp(calls, now, settled=True)
        late = calls >= MOST_CALLS or time.monotonic() - start > MOST_SECONDS
        if before and late:
            return WarmUp(calls, now, settled=False)
        before = now


def take_turns(
    calls: Sequence[tuple[Call, int]], passes: int, device: torch.device
) -> list[list[list[float]]]:
    """Time `passes` rounds in which each call gets one block; seconds by call, pass and run.

    Args:
        calls: each call, with its number of runs in a block.
    """
    seconds: list[list[list[float]]] = [[] for _ in calls]
    for _ in range(passes):
        for blocks, (call, runs) in zip(seconds, calls, strict=True):
            blocks.append([timed(call, device) for _ in range(runs)])
    return seconds
