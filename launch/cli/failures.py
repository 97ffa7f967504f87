"""What a user can get wrong, in words."""

from __future__ import annotations

from pydantic import ValidationError

from detectors.training.train import TrainingFailed
from launch.study.failures import SearchStopped, broken_place, os_error_in_words
from searchspace.reading import in_words


def failure_in_words(error: Exception) -> str | None:
    """What went wrong; None for what no user can have got wrong, which is a bug."""
    if isinstance(error, ValidationError):
        return f"{error.title}: {in_words(error)}"
    if isinstance(error, ValueError | SearchStopped | TrainingFailed):
        return str(error)
    if isinstance(error, OSError):
        return os_error_in_words(error)
    return broken_place(error)
