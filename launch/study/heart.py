"""Which of the drivers that share a study live.

Each raises a number in the database, its beat, and looks at the others' whenever it does. One whose
beat has stood still for `LOOKS` looks counts as dead. No clock is read: machines need not agree on
the time, it may jump, and while a driver is frozen or the database is away, nobody grows older.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

from launch.study.database import AWAY

BEAT = 5.0
"""Seconds between two beats."""

LOOKS = 6
"""Looks for which a beat has stood still when its driver counts as dead: about half a minute."""


class Pulse(Protocol):
    """The beats in a database."""

    def beat(self) -> Mapping[str, int]:
        """Raise the own beat; returns those of the others, by their ids."""


class Heart:
    """Beats in a thread of its own, and watches the others.

    Args:
        every: seconds between two beats; `BEAT` by default.
    """

    def __init__(self, pulse: Pulse, every: float | None = None) -> None:
        self._pulse, self.every = pulse, BEAT if every is None else every
        self._still: dict[str, tuple[int, int]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self) -> None:
        """Beat once, and look at the others."""
        before = self._still
        self._still = {
            driver: (beat, before[driver][1] + 1 if before.get(driver, (None,))[0] == beat else 0)
            for driver, beat in self._pulse.beat().items()
        }

    @property
    def dead(self) -> dict[str, int]:
        """The drivers that count as dead, with the beat at which they stopped."""
        return {driver: beat for driver, (beat, looks) in self._still.items() if looks >= LOOKS}

    def _live(self) -> None:
        while not self._ended.wait(self.every):
            try:
                self.beat()
            except AWAY:
                continue  # Whoever works with the database says so.
