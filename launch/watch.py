"""Who is told of a running trial, and may end it."""

from __future__ import annotations

from typing import Protocol

from detectors.cost import Cost


class Ended(Exception):
    """The trial shall not go on; whoever watches it has noted why."""


class Watch(Protocol):
    """Told what a trial comes to know of itself before its end. Each method may raise `Ended`."""

    def predicted(self, cost: Cost) -> None:
        """What the final detector will cost, known before it is trained."""


class Unwatched:
    """Lets every trial go on."""

    def predicted(self, cost: Cost) -> None:
        """Nobody asks."""
