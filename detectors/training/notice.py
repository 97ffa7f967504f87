"""Notice that this process has to end, as clouds, Slurm and Kubernetes give it before they kill.

A training that is taking steps heeds it: it ends after the step that it is in, with a checkpoint.
Of a group of workers, all end after that step, whichever was given notice.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

GRACE = 10.0
"""Seconds in which a training that was given notice has ended; all of the above wait for longer."""


class Notice:
    """Of the process. It is given by handlers of signals, so that nothing here takes a lock.

    Attributes:
        given: whether the training that is taking steps, or the last one, has to end.
    """

    def __init__(self) -> None:
        self.given = False
        self._heeding = False
        self._held = 0
        self._over = threading.Event()

    @property
    def pending(self) -> bool:
        """Whether it was given to a training that has not ended yet."""
        return self.given and self._heeding

    def give(self) -> bool:
        """Let the training end after its step; False if none is taking steps."""
        if self._heeding:
            self.given = True
        return self._heeding

    def wait(self, seconds: float) -> bool:
        """Wait for the training, and for all that holds the notice, to end; returns whether they
        have."""
        return self._over.wait(seconds)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Whoever gave notice to a training within it waits for the end of this, too: what is done
        with the checkpoint afterwards."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held:
                self._over.set()

    @contextlib.contextmanager
    def heeding(self) -> Iterator[None]:
        """Within it, a training takes steps and writes its checkpoint."""
        with self.held():
            self.given = False
            self._over.clear()
            self._heeding = True
            try:
                yield
            finally:
                self._heeding = False


NOTICE = Notice()
