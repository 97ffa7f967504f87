"""What a study saved by ending trials early."""

from __future__ import annotations

from statistics import mean
from typing import Any

from launch.report.study import StudyView
from launch.report.words import show_seconds
from searchspace.words import counted


def savings(view: StudyView) -> list[str]:
    """The savings by ending trials early, in sentences; empty if none ended early."""
    sentences = []
    if count := len(view.untrained):
        text = f"{counted(count, 'design')} ended before training"
        if finished := view.in_state("finished"):
            spent = sum(record.seconds for record in view.untrained)
            saved = max(0.0, count * mean(record.seconds for record in finished) - spent)
            text += f"; saved about {show_seconds(saved)}"
        sentences.append(text + ".")
    if stopped := view.in_state("stopped"):
        who, epochs = counted(len(stopped), "trial"), counted(epochs_saved(view), "epoch")
        sentences.append(f"{who} stopped early; saved {epochs} of training.")
    return sentences


def epochs_saved(view: StudyView) -> int:
    """Epochs saved by stopping trials, except those that another trial was trained for.

    Trials that share a training save it once, and the second part for each of them.
    """
    trained = {record.training for record in view.in_state("finished")}
    saved: dict[tuple[Any, ...], int] = {}
    followed = 0
    for record in view.in_state("stopped"):
        cause, (epochs, more) = record.training, record.config.epochs
        left = epochs - max(record.midway)
        if cause not in trained:
            saved[cause] = min(left, saved.get(cause, left))
        followed += more
    return sum(saved.values()) + followed
