"""Calls on a device of PyTorch, timed as `detectors.timing.turns` does it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import torch

from detectors.locks import progress
from detectors.timing import turns
from detectors.timing.turns import WarmUp

Call = Callable[[], object]


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
    """Call until its latency has settled; see `detectors.timing.turns.warm_up`."""
    return turns.warm_up(functools.partial(timed, call, device))


def take_turns(
    calls: Sequence[tuple[Call, int]], passes: int, device: torch.device
) -> list[list[list[float]]]:
    """Time `passes` rounds in which each call gets one block; seconds by call, pass and run.

    Args:
        calls: each call, with its number of runs in a block.
    """
    on_device = [(functools.partial(timed, call, device), runs) for call, runs in calls]
    return turns.take_turns(on_device, passes)
