"""Callbacks that may stop a running trial."""

from __future__ import annotations

from typing import Protocol

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost


class Ended(Exception):
    """The trial was stopped; the watch has recorded why."""


class Watch(Protocol):
    """Callbacks of a running trial. Each method may raise `Ended`."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """Numbers of training epochs after which `reached` is called."""
        ...

    def predicted(self, cost: Cost) -> None:
        """Called with the predicted cost of the final detector."""

    def reached(self, epochs: int, metrics: Metrics) -> None:
        """Called with the metrics of a snapshot after `epochs`."""
