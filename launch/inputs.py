"""What a trial is run on: the data, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detectors.data.coco import CocoSplit, DataSource, read_source


class TrialError(ValueError):
    """A configuration and data that do not go together; names field, value and fix."""


@dataclass(frozen=True)
class TrialData:
    """Both splits, read and checked once and then used by any number of trials."""

    train: CocoSplit
    val: CocoSplit

    @classmethod
    def read(cls, source: DataSource, skip_bad: bool = False) -> TrialData:
        """Raises `DataError` with every problem found."""
        return cls(*read_source(source, skip_bad))

    @classmethod
    def of(cls, data: TrialData | DataSource | Path | str) -> TrialData:
        """Read splits as they are, or from where they lie; raises `DataError`."""
        if isinstance(data, TrialData):
            return data
        return cls.read(data if isinstance(data, DataSource) else DataSource.from_folder(data))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(category.name for category in self.train.categories)
