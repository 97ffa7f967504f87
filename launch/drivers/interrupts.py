"""SIGTERM and SIGHUP end a search or a training like Ctrl-C, so that it can be resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from detectors.training import notice
from detectors.training.notice import NOTICE

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE = 30.0
"""Seconds after which a second signal ends the process at once, if its shutdown takes that long."""

DEFAULT = (signal.SIG_DFL, signal.default_int_handler)


class _Interrupt:
    """Raises KeyboardInterrupt at the first signal; later ones do not interrupt the shutdown.

    A training that takes steps raises it itself when it has written its checkpoint, unless that
    takes longer than `notice.GRACE`, or Ctrl-C is pressed again.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._again: threading.Timer | None = None

    def close(self) -> None:
        if self._again:
            self._again.cancel()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first = time.monotonic()
            if not NOTICE.give():
                raise KeyboardInterrupt
            main = threading.main_thread().ident
            self._again = threading.Timer(notice.GRACE, signal.pthread_kill, (main, number))
            self._again.daemon = True
            self._again.start()
            return
        waited = time.monotonic() - self._first
        if NOTICE.pending:
            if number == signal.SIGINT or waited >= notice.GRACE:
                raise KeyboardInterrupt
            return
        if waited > GRACE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """In this context, the first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt, others do not.

    A training ends with the step that it is in; see `detectors.training.notice`.

    Signals that are ignored (nohup) or have another handler are unchanged, and so are all signals
    outside the main thread, where Python cannot handle them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupt = _Interrupt()
    with contextlib.closing(interrupt), handlers_kept():
        for number in SIGNALS:
            if signal.getsignal(number) in DEFAULT:
                signal.signal(number, interrupt)
        yield


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Restore the signal handlers at the end, whatever a library has installed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: not installed by Python, which cannot restore it
                signal.signal(number, handler)
