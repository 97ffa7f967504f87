"""What a command shows while it works: a live view on a terminal, plain lines elsewhere.

Nothing heavy is imported here, so that something moves while the rest is.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner

from launch.cli.terminal import PlainConsole, errors, styled

if TYPE_CHECKING:
    from detectors.activity import Activity, Advance

DELAY = 0.3
"""Seconds after which something moves."""

PER_SECOND = 3
"""Frames. Each takes some milliseconds of the CPU on which detectors are measured."""

PAUSE = 10.0
"""Seconds between two lines about how far something is, where no view is live."""

Frame = Callable[[], RenderableType]
"""Gives what is shown at the moment."""


@contextmanager
def moving(words: str) -> Iterator[None]:
    """Show on a terminal that something is done, such as `Importing`, if it takes long."""
    if not _is_live(errors):
        yield
        return
    status = errors.status(styled(words))
    timer = threading.Timer(DELAY, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def _is_live(out: PlainConsole) -> bool:
    return out.is_terminal and not out.is_dumb_terminal


class Screen:
    """Shows lines, and below them on a terminal what goes on.

    Args:
        out: where to.
        quiet: show neither; results and errors are printed by others.
    """

    def __init__(self, out: PlainConsole, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = _is_live(out) and not quiet
        self.out = out
        self._activities: list[_Counted] = []
        self._frame: Frame | None = None
        self._spinner = Spinner("dots")
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Print a text, which may have several lines, unless everything is quiet."""
        if not self.quiet:
            self.out.say_lines(text)

    def say_words(self, text: str) -> None:
        """Print a line of prose, of which nothing is to be copied, unless everything is quiet."""
        if not self.quiet:
            self.out.say_words(text)

    def follow(self, frame: Frame) -> None:
        """Show what a function gives from now on, below all lines."""
        self._frame = frame

    @contextmanager
    def shown(self) -> Iterator[Screen]:
        """Show everything until the context ends; then the live part disappears."""
        from detectors.activity import shown_by  # loads tqdm alone

        with ExitStack() as stack:
            if self.quiet:
                stack.enter_context(_quietly())
            stack.enter_context(shown_by(self._show))
            if self.live:
                live = Live(
                    get_renderable=self._render,
                    console=self.out,
                    refresh_per_second=PER_SECOND,
                    transient=True,
                )
                stack.enter_context(live)
            yield self

    @contextmanager
    def _show(self, activity: Activity) -> Iterator[Advance]:
        """Show an activity; those without a bar are shown by the view of their trial."""
        counted = _Counted(activity)
        if not activity.bar or self.quiet:
            yield counted.advance
        elif self.live:
            self._activities.append(counted)
            try:
                yield counted.advance
            finally:
                self._activities.remove(counted)
        else:
            if activity.total is None:
                self.say(activity.what)
            yield lambda count: counted.advance(count) or counted.say(self.say)

    def _render(self) -> RenderableType:
        words = ", ".join(str(activity) for activity in self._activities)
        elapsed = timedelta(seconds=int(time.monotonic() - self._began))
        if self._frame is None:
            words = words or "Starting"
        self._spinner.update(text=styled((str(elapsed), "dim"), f" {words}"))
        return Group(*([self._frame()] if self._frame else []), self._spinner)


class _Counted:
    """An activity, and how much of it is done."""

    def __init__(self, activity: Activity) -> None:
        self._activity, self._done = activity, 0
        self._said = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count

    def say(self, say: Callable[[str], None]) -> None:
        """Say how much, if it was not said for long."""
        if time.monotonic() - self._said >= PAUSE:
            self._said = time.monotonic()
            say(str(self))

    def __str__(self) -> str:
        what, total = self._activity.what, self._activity.total
        return what if total is None else f"{what} {self._done:,}/{total:,}"


@contextmanager
def _quietly() -> Iterator[None]:
    """No warning reaches the terminal."""
    last = logging.lastResort
    level = last.level if last else logging.WARNING
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if last:
            last.setLevel(logging.ERROR)
        try:
            yield
        finally:
            if last:
                last.setLevel(level)
