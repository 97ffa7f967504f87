"""Measurements in turns: whatever else the machine does, it does to all contenders alike."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from benchmarks.throughput.ours import finished
from detectors.data.dataset import Dataset

Turn = Callable[[], int]
"""Does a piece of work; returns how many items it dealt with."""


@dataclass
class Rates:
    """Items per second, turn by turn.

    Attributes:
        clock: by the clock.
        cpu: by the CPU time of this process and its children.
    """

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def of(self, device: torch.device) -> list[float]:
        """Those that count: on a CPU others compute as well, so there it is its time."""
        return self.cpu if device.type == "cpu" else self.clock


def in_turns(
    contenders: Mapping[str, Turn], rounds: int, device: torch.device, until: float = float("inf")
) -> dict[str, Rates]:
    """The rates of contenders, each in its turn in each round; the first round is not counted.

    Args:
        until: by `time.monotonic`, when no further round begins once one was counted.
    """
    found = {name: Rates() for name in contenders}
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() > until:
            break
        for name, turn in contenders.items():
            clock, cpu = finished(device), _cpu_seconds()
            items = turn()
            clock, cpu = finished(device) - clock, _cpu_seconds() - cpu
            if number:
                found[name].clock.append(items / clock)
                found[name].cpu.append(items / cpu)
    return found


def _cpu_seconds() -> float:
    """CPU seconds of this process and of its living children, such as those that load data."""
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = time.process_time()
    for child in multiprocessing.active_children():
        with open(f"/proc/{child.pid}/stat", encoding="ascii") as file:
            times = file.read().rpartition(")")[2].split()[11:13]
        seconds += sum(map(int, times)) / ticks
    return seconds


def ratio(first: list[float], second: list[float]) -> float:
    """How many times as fast the second is: the median over the rounds."""
    return statistics.median(b / a for a, b in zip(first, second, strict=True))


def repeated(split: Dataset, images: int) -> Dataset:
    """A split of so many images: those of another one in order, again and again if need be."""
    highest = 1 + max(image.id for image in split.images)
    most = 1 + max((a.id for items in split.annotations.values() for a in items), default=0)
    records, annotations, files = [], {}, {}
    for number in range(images):
        again, place = divmod(number, len(split.images))
        old = split.images[place]
        new = replace(old, id=old.id + again * highest)
        records.append(new)
        annotations[new.id] = tuple(
            replace(item, id=item.id + again * most, image_id=new.id)
            for item in split.annotations[old.id]
        )
        files[new.id] = split.files[old.id]
    return replace(split, images=tuple(records), annotations=annotations, files=files, listed=None)


def matmul_peak(device: torch.device, precision: torch.dtype) -> float:
    """Floating-point operations per second of a large product of matrices, the best of some."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    seconds = []
    for _ in range(10):
        start = finished(device)
        a @ b
        seconds.append(finished(device) - start)
    return 2 * side**3 / min(seconds)
