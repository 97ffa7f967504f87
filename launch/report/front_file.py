"""The front on disk: `front.json`, written and read back, and `front.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from detectors.detector import Detector
from detectors.evaluate import BOUNDED
from detectors.found import Found
from detectors.models import AnyImage, Model, load_model
from detectors.runtimes import Deployed, load_detector
from launch.figures import FigureName, shown_in
from launch.files import FRONT_JSON, SETTINGS, final_folder, trained_folder
from launch.records import EARLY, TRAINING, Origin, State, TrialRecord
from launch.report.certainty import referee_in_words
from launch.report.rising import slope
from launch.report.study import StudyView
from launch.report.words import design_in_words
from launch.study.known_csv import ENDS
from launch.study.settings import load_study_plugins
from launch.trial.copies import bring, missing_folders, study_place
from searchspace import TrialConfig
from searchspace.errors import InputError
from searchspace.masking import is_address
from searchspace.reading import parse_json, parse_model, read_text

if TYPE_CHECKING:
    from pandas import DataFrame
    from supervision import Detections

REMADE = (
    "run_trial with the trial's configuration, its folder as `out` and the study's folder `stages` "
    "makes it again, without training if that folder still holds the trained weights"
)
"""How to restore a deleted detector."""

BOUNDS = tuple(f"{name}_{end}" for name in BOUNDED for end in ENDS)
"""Columns of `front.csv` with the ends of 95 % intervals."""


class Figures(BaseModel):
    """Metrics and costs of a front member: each figure that files show, and the objectives.

    They are attributes, such as `ap_small`, `fps` and `params`; AP as a fraction; None if a
    figure is undefined, or the file is older than it.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    # pyrefly: ignore[bad-override] (how pydantic has extra fields validated by type)
    __pydantic_extra__: dict[str, int | float | None]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> float | None: ...

    @model_validator(mode="before")
    @classmethod
    def _with_those_of_later_versions(cls, given: Any) -> Any:
        return dict.fromkeys(shown_in("file")) | given if isinstance(given, dict) else given


class FrontMember(BaseModel):
    """One trial of the front.

    It stays on the front when its artefacts are deleted: its figures remain valid.

    Attributes:
        folder: the folder of its artefacts; in the file relative to the study's folder.
        intervals: 95 % intervals of some of them over the validation images, by name.
        referee: whether pycocotools confirms its AP and AR, in words; None in older files.
        epochs: of its training, and of what followed it; None in files of versions that did not
            tell.
        still_rising: whether its accuracy was still rising when training ended; None if unknown.
        config: its configuration.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    folder: Path
    origin: Origin
    figures: Figures
    intervals: dict[str, tuple[float, float]] = {}
    referee: str | None = None
    epochs: tuple[int, int] | None = None
    still_rising: bool | None = None
    config: TrialConfig

    @property
    def detector(self) -> Path:
        """The folder of what the figures were measured on, which `load` reads."""
        return self.folder / final_folder(self.config)

    @property
    def trained(self) -> Path:
        """The folder of the same detector in float32, for `Detector.load`, `sparrow fps|export`."""
        return self.folder / trained_folder(self.config)

    @property
    def is_there(self) -> bool:
        """Whether the folder of its detector still exists."""
        return self.detector.is_dir()

    def load(self) -> Detector | Deployed:
        """Its detector, in eval mode; in the form of its runtime where it was quantised.

        Raises:
            RuntimeUnavailable: what runs a quantised one is not installed here.
            ValueError: its folder is missing or damaged.
        """
        return load_detector(self._there)

    @cached_property
    def model(self) -> Model:
        """Its detector in the form of its runtime, ready to run on images; loaded once. Raises what
        `load` does."""
        return load_model(self._there)

    def predict(self, image: AnyImage, threshold: float | None = None) -> Found | Detections:
        """What its detector finds on an image: a `supervision.Detections` where `supervision` is
        installed, else a `detectors.found.Found` with boxes, scores and classes.

        Args:
            image: a file, a picture of Pillow, or uint8 [H, W, 3] in RGB.
            threshold: the least score; by default the thresholds that `sparrow eval` chose, or all
                detections.

        Raises:
            ImageError: it is no image. Else what `load` raises.
        """
        return self.model.predict(image, threshold)

    @property
    def _there(self) -> Path:
        """The folder of its detector; raises `InputError` where it does not exist."""
        if not self.is_there:
            raise InputError(f"{self.detector}: there is no such folder; {REMADE}")
        return self.detector


class Front(BaseModel):
    """A study's result.

    Attributes:
        objectives: the objectives of the front.
        hypervolume: of AP_small and the logarithm of FPS, the area of the front above AP_small 0
            and one frame a second; of other objectives, see `StudyView.hypervolume`.
        trials: number of trials in each state; states of early ends only if there are any.
        members: best in the first objective first.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    objectives: tuple[str, ...]
    hypervolume: float | None
    trials: dict[State, int]
    members: tuple[FrontMember, ...] = Field(alias="front")

    def to_pandas(self) -> DataFrame:
        """The members as a table: a row for each, with its figures, intervals, epochs and design in
        words (`design`)."""
        from pandas import DataFrame  # loads for half a second

        alike = len({member.config.measure for member in self.members}) == 1
        return DataFrame(
            cells_of(member) | {"design": design_in_words(member.config, alike)}
            for member in self.members
        )


def front_of(view: StudyView) -> Front:
    """The front of a study; folders are relative to the study's."""
    return Front(
        objectives=view.objectives,
        hypervolume=view.hypervolume,
        trials={state: n for state, n in view.counts().items() if n or state not in EARLY},
        members=tuple(member_of(record, view.objectives) for record in view.front),
    )


def member_of(record: TrialRecord, objectives: Sequence[FigureName]) -> FrontMember:
    """The front's view of a scored trial."""
    found, names = slope(record), shown_in("file", objectives)
    return FrontMember(
        number=record.number,
        folder=Path(record.folder),
        origin=record.origin,
        figures=Figures.model_validate({name: record.finished.figure(name) for name in names}),
        intervals={
            name: (interval.low, interval.high)
            for name, interval in record.finished.final.metrics.intervals.items()
        },
        referee=referee_in_words(record.finished.final.metrics.referee),
        epochs=record.epochs,
        still_rising=found.rising if found else None,
        config=record.config,
    )


def gone_in_words(numbers: Collection[int]) -> str:
    """The trials whose detectors are gone, and how to restore these; empty if there are none."""
    if not numbers:
        return ""
    named = ", ".join(map(str, sorted(numbers)))
    if len(numbers) == 1:
        return f"The detector of trial {named} is gone from its folder; {REMADE}."
    return f"The detectors of trials {named} are gone from their folders; {REMADE}."


def gone(study: Path, records: Sequence[TrialRecord]) -> frozenset[int]:
    """The numbers of the trials with a result whose detector is missing in the study's folder,
    where Sparrow trained it."""
    trained = (r for r in records if r.result and not r.result.is_reported)
    folders = {r.number: (Path(r.folder) / final_folder(r.config)).as_posix() for r in trained}
    missing = missing_folders(study, folders.values())
    return frozenset(number for number, folder in folders.items() if folder in missing)


def front_json(front: Front) -> str:
    """The text of `front.json`: strict JSON."""
    return front.model_dump_json(by_alias=True, indent=1)


def load_front(folder: Path | str) -> Front:
    """The front of a study; members' folders are resolved against its folder.

    Args:
        folder: of the study, or its address: then the members' detectors are fetched.

    Raises:
        ValueError: there is no `front.json` in `folder`, or it is damaged.
    """
    at_address, folder = is_address(folder), study_place("folder", folder)
    path = folder / FRONT_JSON
    if not path.exists():
        raise InputError(f"{path}: no such file; give the folder of a study that has its report")
    fix = "write the study's report again"
    tree = parse_json(path, read_text(path, fix), fix)
    if study := _study_of(path, tree):
        load_study_plugins(study)
    front = parse_model(path, tree, Front, fix)
    members = tuple(m.model_copy(update={"folder": folder / m.folder}) for m in front.members)
    for member in members if at_address else ():
        bring(member.detector)
    return front.model_copy(update={"members": members})


def _study_of(file: Path, tree: Any) -> Path | None:
    """The folder of the study whose trials a `front.json`, wherever it lies, names as members; None
    if it names none, or the study is gone."""
    members = tree.get("front") if isinstance(tree, dict) else None
    named = [m.get("folder") for m in members if isinstance(m, dict)] if members else []
    trials = (file.parent / folder for folder in named if isinstance(folder, str))
    studies = (trial.parent.parent for trial in trials)
    return next((study for study in studies if (study / SETTINGS).exists()), None)


def front_csv(view: StudyView) -> str:
    """The text of `front.csv`: for each member a row with figures, epochs, searched parameters."""
    figures = shown_in("file", view.objectives)
    params = dict.fromkeys(name for record in view.front for name in record.params)
    names = ["number", "folder", "origin", *figures, *BOUNDS, *TRAINING, *params]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for record in view.front:
        member = member_of(record, view.objectives)
        writer.writerow({**cells_of(member), "folder": member.folder.as_posix(), **record.params})
    return text.getvalue()


def cells_of(member: FrontMember) -> dict[str, Any]:
    """A front member as a row of a table: what it is, its figures and intervals, its epochs."""
    trained, finetuned = member.epochs or (None, None)
    bounds = {
        f"{name}_{end}": value
        for name, interval in member.intervals.items()
        for end, value in zip(ENDS, interval, strict=True)
    }
    return {
        "number": member.number,
        "folder": str(member.folder),
        "origin": member.origin,
        **member.figures.model_dump(),
        **bounds,
        **dict(zip(TRAINING, (trained, finetuned, member.still_rising), strict=True)),
    }
