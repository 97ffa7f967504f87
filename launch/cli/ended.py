"""Commands that train in their own process, and end in good order when a signal ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from launch.cli.terminal import PlainConsole
from launch.drivers.interrupts import interruptible

NOTHING_WRITTEN = "Nothing was written."

SAME_AGAIN = "The same command goes on."


@contextmanager
def ended_by_signals(out: PlainConsole, go_on: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end the command with status 130, a training after its step.

    Args:
        go_on: what to say then, such as how to go on.
    """
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        out.say(f"Interrupted. {go_on()}")
        raise typer.Exit(130) from None
