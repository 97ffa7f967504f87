"""A long training as its folder remembers it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from compress import Plan
from detectors.data.readers import DataSource, Split
from detectors.files import write_atomically
from launch.cli.names import BEGIN_AGAIN, load_training_plugins, study_around
from launch.cli.workers import WorkerOptions
from launch.files import TRAINING, TRIAL
from launch.trial.data import TrialError
from searchspace.errors import InputError
from searchspace.reading import read_model
from searchspace.trial import TrialConfig
from searchspace.words import command

CHANGING = ("model", "reading", "to", "workers", "plugins")
"""What may differ when the same training is begun again."""


class LongTraining(BaseModel):
    """A long training as its folder remembers it, in `training.json`.

    Attributes:
        model: what is trained, as it was named.
        detector: the folder of the saved detector that is trained; None if there was none.
        trial: the folder of the study's trial that it is from, also by way of another long
            training; None if it is from no study.
        new_classes: whether it learns other classes than it knew.
        config, plan, weights: arguments of `run_trial`.
        reading: those of `TrialData.read`.
        to: the format of the export at the end, or `none`.
        workers: which train together.
        plugins: what is loaded before the rest is read: paths of Python files, names of modules.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    detector: Path | None = None
    trial: Path | None = None
    new_classes: bool = False
    config: TrialConfig
    plan: Plan | None = None
    weights: Path | None = None
    train: Split
    val: Split
    layout: str = ""
    reading: dict[str, Any]
    to: str
    workers: WorkerOptions = WorkerOptions()
    plugins: tuple[str, ...] = ()

    @property
    def source(self) -> DataSource:
        return DataSource(self.train, self.val, self.layout)

    @property
    def study(self) -> Path | None:
        """The folder of the study that it is from."""
        return None if self.trial is None else study_around(self.trial)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The one in a folder.

        Raises:
            InputError: there is none, its file is damaged, or a plugin of it is missing or broken.
        """
        file = folder / TRAINING
        if not file.exists():
            raise InputError(
                f"{folder}: sparrow train began nothing here (no {TRAINING}); give the folder of a "
                "training, or a model to train"
            )
        load_training_plugins(file)
        return read_model(file, cls, BEGIN_AGAIN)

    def claim(self, folder: Path) -> None:
        """Write it into its folder.

        Raises:
            TrialError: the folder holds another training or trial.
        """
        # What was refused before it began, without a trial, does not count.
        if (folder / TRIAL).exists() and not self._is_in(folder):
            raise TrialError(
                f"{folder} holds another trial or training: choose an empty folder with --out, or "
                f"go on with that one: {command('train', '--resume', folder)}"
            )
        write_atomically(folder / TRAINING, self.model_dump_json(indent=1))

    def _is_in(self, folder: Path) -> bool:
        """Whether a folder holds this training, by whatever name and workers, to whatever
        export."""
        if not (folder / TRAINING).exists():
            return False
        there = self.read(folder)
        alike = {name: getattr(there, name) for name in CHANGING}
        return there == self.model_copy(update=alike)
