"""Texts about the length of trainings, and about detectors that were still rising at the end."""

from __future__ import annotations

from collections.abc import Sequence

from launch.figures import FIGURES, MISSING
from launch.records import TrialRecord
from launch.report.rising import BOUND, Slope, slope

RISING, UNKNOWN = "\N{NORTH EAST ARROW}", "?"
"""Marks of detectors that were still rising at the end, and of those for which it is unknown."""


def epochs_in_words(epochs: tuple[int, int] | None) -> str:
    """Epochs of training and, if any, of the second part, e.g. `4 + 2`; a dash for unknown."""
    return " + ".join(str(count) for count in epochs if count) if epochs else MISSING


def marked_epochs(record: TrialRecord) -> str:
    """`epochs_in_words` of a trial, with a mark if it finished and had not settled."""
    text, found = epochs_in_words(record.epochs), slope(record)
    if record.result is None or (found and not found.rising):
        return text
    return f"{text} {RISING if found else UNKNOWN}"


def slope_in_words(found: Slope | None) -> str:
    """The end of a learning curve in words."""
    if found is None:
        return "not known whether it was still rising"
    state = "still rising" if found.rising else "settled"
    first, gain = found.begun + 1, f"{FIGURES[found.figure].label} {found.gain:+.3f}"
    return f"{state}: {gain} in epoch{f's {first} to' if first < found.ended else ''} {found.ended}"


def legend(records: Sequence[TrialRecord]) -> list[str]:
    """The meaning of the marks on the epochs of these trials."""
    slopes = [slope(record) for record in records if record.result]
    lines = []
    if any(found and found.rising for found in slopes):
        lines.append(
            f"{RISING} still rising: AP_small or AP gained more than {BOUND:g} in the last part of "
            "its training"
        )
    if None in slopes:
        lines.append(f"{UNKNOWN} not known whether it was still rising")
    return lines


def warning(front: Sequence[TrialRecord]) -> list[str]:
    """A sentence if most of a front was still rising when training ended, else none."""
    rising = [found for record in front if (found := slope(record)) and found.rising]
    if 2 * len(rising) <= len(front):
        return []
    who = f"{len(rising)} of the {len(front)} on the front were" if len(front) > 1 else "It was"
    most = max(rising, key=lambda found: found.gain)
    part = most.ended - most.begun
    last = "the last epoch" if part == 1 else f"the last {part} epochs"
    gain = f"{'by up to ' if len(rising) > 1 else ''}{most.gain:+.2f}"
    return [
        f"{who} still rising when training ended ({FIGURES[most.figure].label} "
        f"{gain} in {last}): train longer before reading small differences."
    ]
