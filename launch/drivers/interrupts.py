"""SIGTERM and SIGHUP end a search as Ctrl-C does: what runs is left so that it can be resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE = 30.0
"""Seconds after which another signal ends the process at once: its orderly end takes too long."""

DEFAULT = (signal.SIG_DFL, signal.default_int_handler)


class _Interrupt:
    """Raises KeyboardInterrupt at the first signal; others may not cut the orderly end short."""

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._first > GRACE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it, the first of SIGINT, SIGTERM and SIGHUP raises KeyboardInterrupt, others do not.

    Signals that are ignored (nohup) or that have a handler of someone else's stay as they are, and
    so do all in another thread than the main one, where Python knows no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupt = _Interrupt()
    with handlers_kept():
        for number in SIGNALS:
            if signal.getsignal(number) in DEFAULT:
                signal.signal(number, interrupt)
        yield


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """The signal handlers are at its end what they were, whatever a library installs in it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: not installed by Python, which cannot put it back
                signal.signal(number, handler)
