"""A study's trials by what the space drew for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from launch.records import TrialRecord
from launch.study.journal import Journal


class Tried(Mapping[str, TrialRecord]):
    """The trials of a journal by the digest of what the space drew, each of which is computed
    once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers: dict[str, int] = {}
        journal.follow(self._note)

    def _note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        if before is None:
            self._numbers[record.as_drawn.digest()] = record.number

    def __getitem__(self, digest: str) -> TrialRecord:
        return self._journal.get(self._numbers[digest])

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
