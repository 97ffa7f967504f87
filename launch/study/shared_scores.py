"""The scores of designs with shared weights in a study's folder."""

from __future__ import annotations

from pathlib import Path

from launch.files import SHARED_JSON
from launch.trial.shared_scores import SharedScores
from searchspace.reading import read_model


def read_shared(folder: Path) -> SharedScores | None:
    """The scores in a study's folder; None if there are none.

    Raises:
        Unreadable: the file is damaged.
    """
    file = folder / SHARED_JSON
    fix = "remove it, and resuming makes it again from the stages"
    return read_model(file, SharedScores, fix) if file.exists() else None
