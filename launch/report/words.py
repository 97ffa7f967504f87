"""Durations, budgets and designs as plain text; callers escape it for their output."""

from __future__ import annotations

from launch.decisions.budget import Outlook
from searchspace import TrialConfig
from searchspace.measuring import MeasureConfig
from searchspace.words import counted

WIDE = 0.2
"""The largest error of an expected time, as a share of it, that is not shown."""


def show_seconds(seconds: float) -> str:
    """A duration in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def design_in_words(config: TrialConfig, alike: bool) -> str:
    """A design in words.

    Args:
        alike: all designs beside it are run alike, so that how it is run need not be said.
    """
    said = config.model_copy(update={"measure": MeasureConfig()}) if alike else config
    return said.in_words()


def outlook_in_words(outlook: Outlook) -> str:
    """The rest of a search's budget, the expected further trials, and what will end it."""
    left = [counted(outlook.trials_left, "trial")]
    if outlook.minutes_left is not None:
        left.append(f"{outlook.minutes_left:.1f} minutes")
    if outlook.device_hours_left is not None:
        left.append(f"{outlook.device_hours_left:.3g} device-hours")
    text = f"left: {', '.join(left)}"
    if outlook.seconds is None:
        return text
    when = _when(outlook.seconds, outlook.error)
    if not outlook.more_trials:
        return f"{text}; expected: the running ones end {when}"
    more = counted(outlook.more_trials, "more trial")
    return f"{text}; expected: {more} {when}, then {outlook.ends_by} are spent"


def _when(seconds: float, error: float | None) -> str:
    """The expected time until the end of a search: from when to when, where that differs much."""
    if seconds < 1:
        return "soon"
    if error is None or error <= WIDE * seconds:
        return f"in about {show_seconds(seconds)}"
    return f"in {show_seconds(max(0.0, seconds - error))} to {show_seconds(seconds + error)}"
