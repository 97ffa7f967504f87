"""Blocks of timed calls, taken in turns, behind a warm-up that ends when the latency settles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from detectors.locks import progress

WINDOW = 5
"""Calls of a warm-up whose median is compared with that of the calls before."""

SETTLED = 0.03
"""Relative change between two windows' medians at which a warm-up ends."""

MOST_CALLS = 100
MOST_SECONDS = 10.0
"""When a warm-up ends at the latest, though not before its second window."""

Call = Callable[[], object]


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up ended.

    Attributes:
        calls: how many it took.
        seconds: median of its last window.
        settled: whether two windows in a row agreed before calls or time ran out.
    """

    calls: int
    seconds: float
    settled: bool


def timed(call: Call, device: torch.device) -> float:
    """Seconds of one call, until the device has finished it; then the device's lease is renewed."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    progress()
    return seconds


def warm_up(call: Call, device: torch.device) -> WarmUp:
    """Call until the medians of two windows in a row agree within `SETTLED`.

    The first call, in which a runtime may still compile or allocate, counts for nothing.
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
    """Seconds by call, pass and run, of `passes` rounds in which each call gets one block.

    Args:
        calls: what to call, and how often in a block.
    """
    seconds: list[list[list[float]]] = [[] for _ in calls]
    for _ in range(passes):
        for blocks, (call, runs) in zip(seconds, calls, strict=True):
            blocks.append([timed(call, device) for _ in range(runs)])
    return seconds
