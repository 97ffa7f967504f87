"""Who is told of a running trial, and may end it."""

from __future__ import annotations

from typing import Protocol

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost


class Ended(Exception):
    """The trial shall not go on for now; whoever watches it has noted why."""


class Watch(Protocol):
    """Told what becomes known of a trial before its end. Each method may raise `Ended`.

    Attributes:
        rungs: epochs of training after which it is told what a snapshot of the detector scores.
    """

    rungs: tuple[int, ...]

    def predicted(self, cost: Cost) -> None:
        """What the final detector will cost."""

    def reached(self, epochs: int, metrics: Metrics) -> None:
        """What the detector scores after so many epochs."""
