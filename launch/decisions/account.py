"""What decisions keep of a study's trials, up to date trial by trial. Pure.

Going through all trials anew for each would make a trial of a long search cost more than one of a
short search.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Self

from launch.records import TrialRecord


class Account(ABC):
    """What is kept of trials."""

    @classmethod
    def of(cls, records: Iterable[TrialRecord], *about: Any) -> Self:
        """That of a study with these trials; `about` as for a new one."""
        account = cls(*about)
        for record in records:
            account.note(None, record)
        return account

    @abstractmethod
    def note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        """Take note of a new trial, or of what became of one.

        Args:
            before: what was noted of it.
        """
