"""A closer look at the trials of a front: the layers of their networks, and what they find on
validation images beside what the baseline finds.

It takes a detector's weights and images, and seconds for each trial, so it is bounded, done once,
and kept in the study's folder.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.activity import active
from detectors.composition import Composition, composition
from detectors.data.dataset import Dataset, spread
from detectors.data.reading import read_split
from detectors.describe import Layer, describe_layers
from detectors.detector import Detector
from detectors.evaluate import detect_split
from detectors.evaluation.comparison import disagreements, mistakes
from detectors.evaluation.curves import at_thresholds
from detectors.evaluation.errors_by_kind import Errors, errors_by_kind
from detectors.evaluation.judged import Judged
from detectors.evaluation.report import ClassCurves, curves_by_class, judged_on
from detectors.evaluation.results import Results
from detectors.files import write_atomically, written
from detectors.models import load_model
from detectors.timing.layers import layer_times
from detectors.timing.measure import hardware_name
from launch.files import (
    FOUND_NPZ,
    LAYERS_JSON,
    LOOK_JSON,
    MEMBERS,
    NETWORK_JSON,
    final_folder,
    trained_folder,
)
from launch.records import TrialRecord
from launch.report.side_by_side import side_by_side
from launch.report.study import StudyView
from launch.study.settings import StudySettings
from launch.trial.copies import bring
from launch.trial.data import validation_in
from launch.trial.run import pick_device
from searchspace import DetectorConfig, TrialConfig
from searchspace.errors import InputError
from searchspace.words import command, counted

VERSION = 1
"""Raised when something else is computed or drawn, so that it is done again."""

IMAGES = 200
"""The most validation images that are looked at."""

PICTURES = 6
"""Images that are drawn of each kind."""

SECONDS = 30.0
"""After so long, no further trial is looked at: the next report goes on."""

GONE = "its detector is gone"
REPORTED = "the trainer that reported its figures has the detector"

logger = logging.getLogger(__name__)


class Kept(BaseModel):
    """What is kept in a file."""

    model_config = ConfigDict(frozen=True)

    version: int = VERSION


K = TypeVar("K", bound=Kept)


class Network(Kept):
    """The layers of a network, and which maps are made of which."""

    layers: tuple[Layer, ...]
    composition: Composition


class Layers(Network):
    """The network of a trained detector, pruned as it is.

    Attributes:
        milliseconds: of each layer by part and name, see `layer_times`.
        device: where they were taken.
    """

    milliseconds: dict[str, float]
    device: str


class Picture(BaseModel):
    """A drawn image: its file in the folder, the image's name, and what is seen in words."""

    model_config = ConfigDict(frozen=True)

    file: str
    image: str
    words: str


class Look(Kept):
    """What a trial's detector finds on validation images.

    Attributes:
        data: fingerprint of the validation split.
        baseline: number of the trial that it is compared with, if any.
        images, of: images that were looked at, and images of the split.
        differs: where it differs most from the baseline; worst: where it has the most errors.
    """

    data: str
    baseline: int | None
    images: int
    of: int
    errors: Errors
    curves: dict[str, ClassCurves]
    differs: tuple[Picture, ...]
    worst: tuple[Picture, ...]


def looks_folder(study: Path, record: TrialRecord) -> Path:
    """Where what is known of a trial's detector is kept."""
    return study / MEMBERS / Path(record.folder).name


def read_layers(folder: Path) -> Layers | None:
    """What is kept of a network; None if there is nothing, or another version wrote it."""
    return _read(folder / LAYERS_JSON, Layers)


def built_network(folder: Path, config: DetectorConfig) -> Network:
    """The network that a configuration builds, which is kept: it is run on shapes for that."""
    found = _read(folder / NETWORK_JSON, Network)
    if found is None:
        found = Network(layers=describe_layers(config), composition=composition(config))
        write_atomically(folder / NETWORK_JSON, found.model_dump_json())
    return found


def read_look(folder: Path) -> Look | None:
    """What is kept of detections; None if there is nothing, or another version wrote it."""
    return _read(folder / LOOK_JSON, Look)


def _read(file: Path, model: type[K]) -> K | None:
    try:
        found = model.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    return found if found.version == VERSION else None


def look_closer(
    study: Path,
    settings: StudySettings,
    view: StudyView,
    unseen: dict[int, str],
    val: Dataset | None = None,
    seconds: float = SECONDS,
) -> None:
    """Look at each trial of a front that has not been looked at yet.

    Args:
        study: its folder.
        unseen: is filled with why a trial was not looked at, by its number.
        val: the validation split, if it has been read already.
        seconds: after so long, the others are left to the next report.
    """
    device = pick_device("cpu" if settings.resources.device == "cpu" else None)
    looking = _Looking(study, settings, view.baseline, device, val)
    until = time.monotonic() + seconds
    with active("Looking at the front", len(view.front)) as advance:
        for record in view.front:
            try:
                looking.at(record, late=time.monotonic() >= until)
            except InputError as error:
                unseen[record.number] = str(error)
            except Exception as error:  # The figures are known all the same.
                unseen[record.number] = f"it failed ({type(error).__name__}: {error})"
                logger.warning(f"trial {record.number} could not be looked at", exc_info=error)
            advance(1)


@dataclass(frozen=True, eq=False)
class _Looking:
    """Looks at the trials of a study."""

    study: Path
    settings: StudySettings
    baseline: TrialRecord | None
    device: torch.device
    val: Dataset | None

    def at(self, record: TrialRecord, late: bool) -> None:
        """Look at a trial, unless that has been done.

        Args:
            late: leave it to another time.

        Raises:
            InputError: it cannot be looked at; says why.
        """
        kept = looks_folder(self.study, record)
        look = read_look(kept)
        there = look is not None and (look.data, look.baseline) == (self._data, self._number)
        if there and read_layers(kept):
            return
        if record.finished.is_reported:
            raise InputError(REPORTED)
        if not self._detector(record).is_dir():
            raise InputError(GONE)
        if late:
            raise InputError(f"there was no time left; {command('report', self.study)} goes on")
        if not read_layers(kept):
            write_atomically(kept / LAYERS_JSON, self._layers(record).model_dump_json())
        if not there:
            write_atomically(kept / LOOK_JSON, self._look(record, kept).model_dump_json())

    @property
    def _data(self) -> str:
        """The fingerprint of the study's validation split."""
        return validation_in(self.settings.fingerprint)

    @property
    def _against(self) -> TrialRecord | None:
        """The trial that others are compared with, if its detector is there."""
        record = self.baseline
        if record is None or record.result is None or record.finished.is_reported:
            return None
        return record if self._detector(record).is_dir() else None

    def _detector(
        self, record: TrialRecord, name: Callable[[TrialConfig], str] = final_folder
    ) -> Path:
        """The folder of a trial's detector, by default of the final one."""
        return bring(self.study / record.folder / name(record.config))

    @property
    def _number(self) -> int | None:
        return None if self._against is None else self._against.number

    @property
    def _whole(self) -> Dataset:
        """The validation split of the study; raises `InputError`."""
        if isinstance(self._whole_or_why, InputError):
            raise self._whole_or_why
        return self._whole_or_why

    @functools.cached_property
    def _whole_or_why(self) -> Dataset | InputError:
        """The same, or why there is none: it is read once for all trials."""
        try:
            split = self.settings.source.val
            if self.val is None and split.fetched and not split.fetched.is_here:
                # Whoever only reads a report does not wait until all of it is here.
                raise InputError(f"the data at {split.fetched.address} are not on this machine")
            found = self.val or read_split(split, **self.settings.data.reading)
        except InputError as error:
            return error
        if found.fingerprint != self._data:
            there = split.shown(split.annotations)
            return InputError(f"the validation data, {there}, have changed")
        return found

    @functools.cached_property
    def _split(self) -> Dataset:
        """The images that are looked at, spread over the validation split."""
        kept = {image.id for image in spread(self._whole.images, IMAGES)}
        return self._whole.without({i.id for i in self._whole.images if i.id not in kept})

    def _layers(self, record: TrialRecord) -> Layers:
        detector = Detector.load(self._detector(record, trained_folder))
        return Layers(
            layers=describe_layers(detector),
            composition=composition(detector),
            milliseconds=layer_times(detector, self.device),
            device=hardware_name(self.device),
        )

    def _look(self, record: TrialRecord, kept: Path) -> Look:
        judged = judged_on(self._split, self._found(record))
        drawn = at_thresholds(judged)
        baseline = None if self._number == record.number else self._baselines
        differs = list(_differences(baseline, drawn))[:PICTURES] if baseline else []
        shown = {place for place, _ in differs}
        worst = [(place, words) for place, words in _mistakes(drawn) if place not in shown]
        models = [baseline, drawn] if baseline else [drawn]
        return Look(
            data=self._data,
            baseline=self._number,
            images=len(self._split.images),
            of=len(self._whole.images),
            errors=errors_by_kind(judged),
            curves=curves_by_class(judged),
            differs=self._drawn("differs", differs, models, kept),
            worst=self._drawn("worst", worst[:PICTURES], models, kept),
        )

    @functools.cached_property
    def _baselines(self) -> Judged | None:
        """What the baseline finds, which is drawn; None without it."""
        if self._against is None:
            return None
        return at_thresholds(judged_on(self._split, self._found(self._against)))

    def _found(self, record: TrialRecord) -> Results:
        """The detections of a trial, which are kept."""
        file = looks_folder(self.study, record) / FOUND_NPZ
        cause = f"{VERSION} {self._data} {len(self._split.images)}"
        found = _read_found(file, cause)
        if found is None:
            model = load_model(self._detector(record), self.device)
            found = detect_split(model.detector, self._split, model.device)
            with written(file) as opened:
                np.savez_compressed(opened, cause=np.array(cause), **vars(found))
        return found

    def _drawn(
        self,
        kind: str,
        rows: Sequence[tuple[int, str]],
        models: Sequence[Judged],
        folder: Path,
    ) -> tuple[Picture, ...]:
        """Draw images, each with what is said of it."""
        pictures = []
        for number, (place, words) in enumerate(rows, 1):
            image = self._split.images[place]
            name = f"{kind}_{number}.jpg"
            with written(folder / name) as file:
                side_by_side(image, place, models).save(file, "JPEG", quality=85)
            pictures.append(Picture(file=name, image=image.path.name, words=words))
        return tuple(pictures)


def _read_found(file: Path, cause: str) -> Results | None:
    try:
        with np.load(file) as stored:
            columns: Mapping[str, np.ndarray] = dict(stored)
        if str(columns["cause"]) == cause:
            return Results(*(columns[n] for n in ("images", "categories", "boxes", "scores")))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass  # There is none, or it is damaged.
    return None


def _differences(baseline: Judged, own: Judged) -> Iterator[tuple[int, str]]:
    """Places of images, and how far a detector differs from the baseline there, in words."""
    for row in disagreements(baseline, own):
        yield (
            row.image,
            f"{counted(row.only_second, 'object')} found by this one alone, {row.only_first} by "
            f"the baseline alone; {counted(row.wrong_second, 'wrong detection')}, the baseline has "
            f"{row.wrong_first}",
        )


def _mistakes(own: Judged) -> Iterator[tuple[int, str]]:
    for row in mistakes(own):
        yield (
            row.image,
            f"{counted(row.missed, 'object')} missed, {counted(row.wrong, 'wrong detection')}",
        )
