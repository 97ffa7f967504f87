"""Waiting for what may come back: a file system, a server, a database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

MINUTES = 120.0
"""Seconds for which a file system that has gone is waited for."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two attempts, which grow."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


def patiently(
    call: Callable[[], T],
    passing: Callable[[Exception], str | None],
    what: object,
    patience: float = MINUTES,
    longest: float = LONGEST_PAUSE,
) -> T:
    """What a call returns, which is made again, after growing pauses, while its error may pass.

    Args:
        passing: what to say of an error that may pass; None for another one, which is raised.
        what: has gone, for the warnings.
        patience: seconds after which an error that may pass is raised, too.
        longest: seconds of the longest pause.
    """
    end, pause = time.monotonic() + patience, FIRST_PAUSE
    while True:
        try:
            return call()
        except Exception as error:
            words, left = passing(error), end - time.monotonic()
            if words is None or left <= 0:
                raise
            pause = min(pause, longest, left)
            logger.warning(f"{what}: {words}; trying again in {pause:.0f} s")
        time.sleep(pause)
        pause *= 2
