"""What a process is doing for long, with counts where they are known, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from tqdm import tqdm

Advance = Callable[[int], None]
"""Called with how many more are done."""


@dataclass(frozen=True)
class Activity:
    """One thing that takes long.

    Attributes:
        what: such as `Decoding images`.
        total: how many there are to do; None if that is not known.
        bar: whether a terminal that nobody manages shows a bar.
    """

    what: str
    total: int | None = None
    bar: bool = True


Show = Callable[[Activity], AbstractContextManager[Advance]]
"""Shows an activity until its context ends."""


@contextmanager
def on_bar(activity: Activity) -> Iterator[Advance]:
    """Show a bar on standard error, if that is a terminal and the activity takes over a second."""
    hidden = None if activity.bar and activity.total is not None else True
    with tqdm(
        total=activity.total, desc=activity.what, disable=hidden, leave=False, delay=1
    ) as shown:

        def advance(count: int) -> None:
            shown.update(count)

        yield advance


_show: ContextVar[Show] = ContextVar("show", default=on_bar)


@contextmanager
def active(what: str, total: int | None = None, bar: bool = True) -> Iterator[Advance]:
    """Do something that takes long; what it gives is called with how many more are done."""
    with _show.get()(Activity(what, total, bar)) as advance:
        yield advance


@contextmanager
def shown_by(show: Show, also: bool = False) -> Iterator[None]:
    """Let `show` show the activities of this thread.

    Args:
        also: in addition to what shows them already, not in its place.
    """
    before = _show.get()

    @contextmanager
    def both(activity: Activity) -> Iterator[Advance]:
        with before(activity) as first, show(activity) as second:

            def advance(count: int) -> None:
                first(count)
                second(count)

            yield advance

    token = _show.set(both if also else show)
    try:
        yield
    finally:
        _show.reset(token)
