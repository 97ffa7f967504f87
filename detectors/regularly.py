"""Something that is done again and again, from another thread, while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def regularly(call: Callable[[], None], every: float, name: str) -> Iterator[None]:
    """Call after each `every` seconds; no call begins, or still runs, after the context has ended.

    Args:
        call: raises nothing.
        name: of the thread.
    """
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            call()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
