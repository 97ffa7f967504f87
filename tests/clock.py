"""A clock of the tests, by which pauses between attempts take no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Stands for the module `time` in `detectors.patience`.

    Attributes:
        now: seconds.
        slept: each pause so far.
        then: called after each pause with how many there were.
    """

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    then: Callable[[int], object] = lambda count: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self.then(len(self.slept))
