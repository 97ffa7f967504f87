"""The folder of a study: where what its trials need and leave lies, and its settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from detectors.data.readers import DataSource
from detectors.files import write_atomically
from launch.decisions.early_stopping import rungs_within
from launch.files import DETECTOR, SETTINGS, SHARED_JSON, STAGES
from launch.records import SHARED, TrialRecord
from launch.study import needs
from launch.study.search_settings import changed
from launch.study.settings import StudyError, StudySettings
from launch.study.shared_scores import read_shared
from launch.trial.remote_study import remote_of
from launch.trial.shared_scores import SharedTensors
from searchspace.given import restored


class StudyFolder(ABC):
    """A folder with a study.

    Attributes:
        settings: as `study.json` has them.
        space: whose configurations its trials have.
        shared_scores: of designs with shared weights; None as long as there are none.
    """

    def __init__(self, folder: Path, settings: StudySettings) -> None:
        self.folder = folder
        self.settings = settings
        self.space = restored(settings.space)
        self.shared_scores = read_shared(folder)

    @property
    @abstractmethod
    def records(self) -> Sequence[TrialRecord]:
        """The latest record of each trial."""

    @abstractmethod
    def record(self, number: int) -> TrialRecord:
        """The latest record of a trial."""

    def trial_folder(self, record: TrialRecord) -> Path:
        return self.folder / record.folder

    @property
    def stages(self) -> Path:
        """The folder with the stages' artefacts of all its trials."""
        return self.folder / STAGES

    def ancestor(self, record: TrialRecord) -> Path | None:
        """What a trial inherits its weights from, if anything: the folder of a saved detector, or
        of shared weights."""
        if record.parent is None:
            return None
        if record.parent == SHARED:
            return self.stages / self.shared_tensors.stage
        return self.stages / self.record(record.parent).finished.trained / DETECTOR

    @property
    def shared_tensors(self) -> SharedTensors:
        """The shared weights; raises `StudyError` if there are none."""
        if self.shared_scores is None or self.shared_scores.tensors is None:
            raise StudyError(
                f"{self.folder / SHARED_JSON} does not say where the shared weights are: remove "
                "it, and resuming makes it again from the stages"
            )
        return self.shared_scores.tensors

    def detectors(self, record: TrialRecord) -> dict[str, Path]:
        """The folders of the saved detectors that a trial may need, by name."""
        own = needs.detectors(self.space, record, self.records, self.folder)
        return {**self.settings.teachers, **own}

    def rungs(self, record: TrialRecord) -> tuple[int, ...]:
        """Epochs of training after which a trial is compared with others."""
        rule = self.settings.early_stopping
        # Inherited weights include the parent's epochs, so their rungs are not comparable.
        compared = rule is not None and record.parent is None
        return rungs_within(rule.budgets, record.config.train) if compared else ()

    def allow(self, minutes: float) -> None:
        """Change the time limit of a trial."""
        self._change(trial_timeout=minutes)

    def relocate(self, source: DataSource) -> None:
        """Note where the data lie now."""
        if source != self.settings.source:
            self._write(self.settings.model_copy(update={"train": source.train, "val": source.val}))

    def _change(self, **changes: object) -> None:
        self._write(changed(self.settings, **changes))

    def _write(self, settings: StudySettings) -> None:
        self.settings = store_settings(settings, self.folder)


def store_settings(settings: StudySettings, folder: Path) -> StudySettings:
    """The settings as they were written into a study's folder, and to its address."""
    settings = settings.written_in(folder)
    store_file(folder, SETTINGS, settings)
    return settings


def store_file(folder: Path, name: str, content: BaseModel) -> None:
    """Write a file into a study's folder, and to its address."""
    write_atomically(folder / name, content.model_dump_json(indent=1))
    if (remote := remote_of(folder)) is not None:
        remote.send(name)
