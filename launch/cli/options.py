"""Options that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from launch.cli import option_types
from launch.study.data_options import TrainingDataOptions
from launch.study.options import Option, Text
from launch.study.search_options import Device, Weights
from searchspace.geometry import Size
from searchspace.reading import shown
from searchspace.trial import MOST_SEED

if TYPE_CHECKING:
    from detectors.data.readers import DataSource, Split

InFolder = Annotated[Path, BeforeValidator(option_types.in_folder)]
InFile = Annotated[Path, BeforeValidator(option_types.in_file)]
OutFolder = Annotated[Path, BeforeValidator(option_types.out_folder)]
OutStudy = Annotated[Path, BeforeValidator(option_types.out_study)]
ResumedStudy = Annotated[Path, BeforeValidator(option_types.resumed_study)]
OutFile = Annotated[Path, BeforeValidator(option_types.out_file)]
"""Fields of the models of options that are paths."""

InPath = Annotated[Path, BeforeValidator(option_types.path)]
InData = Annotated[Path | str, BeforeValidator(option_types.data)]

_images = Annotated[
    InFolder | None,
    Option("FOLDER"),
    Field(description="Folder of images, in place of --data."),
]
_annotations = Annotated[
    InPath | None,
    Option("PATH"),
    Field(
        description="Annotations in any known format, in place of --data: COCO's JSON, YOLO's "
        "data.yaml or a folder of its labels, a folder of Pascal VOC's XML files or one of its "
        "lists."
    ),
]

ValShare = Annotated[
    float | None,
    Option("SHARE"),
    Field(
        gt=0,
        lt=1,
        description="Hold out this share of the training images for validation, such as 0.2, where "
        "there is no validation split; copies of one image stay together.",
    ),
]


ImageSize = Annotated[
    str | None, Option("WIDTHxHEIGHT"), Field(pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$")
]
"""A field that is a size of images, read by `height_and_width`."""


def height_and_width(size: str | None) -> Size | None:
    """What an `ImageSize` says."""
    if size is None:
        return None
    width, height = map(int, size.split("x"))
    return height, width


class Options(BaseModel):
    """Options of a command, by which `launch.cli.from_fields` makes them."""

    model_config = ConfigDict(frozen=True, title="Options", allow_inf_nan=False)


class DataPlace(Options):
    """Where annotated images lie, to be found by looking."""

    model_config = ConfigDict(title="Data")

    data: Annotated[InData | None, Option("FOLDER|FILE|ADDRESS")] = Field(
        default=None,
        description="Folder of a known layout, such as COCO's, Roboflow's, YOLO's or Pascal VOC's; "
        "or COCO's training annotations, or a data.yaml. Or the address of such a folder, such as "
        "s3://BUCKET/PATH, from which each node fetches it once.",
    )
    val_share: ValShare = None

    def found(self) -> DataSource:
        """The data that are found at --data."""
        # Only here: a help text needs no torch.
        from detectors.data.readers import DataSource

        if self.data is None:
            raise ValueError("options were not checked")
        return DataSource.from_folder(self.data, self.val_share)


class DataPaths(DataPlace):
    """Where training and validation data lie."""

    train_images: _images = None
    train_annotations: _annotations = None
    val_images: _images = None
    val_annotations: _annotations = None

    def source(self) -> DataSource | None:
        """The data that the options name; None where they name none."""
        # Only here: a help text needs no torch.
        from detectors.data.readers import DataSource, Split

        train, val = (
            [path for path in paths if path is not None]
            for paths in (
                (self.train_images, self.train_annotations),
                (self.val_images, self.val_annotations),
            )
        )
        if self.data and train + val:
            raise typer.BadParameter(
                "give either it or the four explicit paths", param_hint="--data"
            )
        if self.data:
            return self.found()
        if len(train) == 2 and not val and self.val_share:
            return DataSource.cut_from(Split.at(*train), self.val_share)
        if self.val_share:
            raise typer.BadParameter(
                "it needs --data, or --train-images and --train-annotations alone",
                param_hint="--val-share",
            )
        if not train + val:
            return None
        if len(train + val) < 4:
            raise typer.BadParameter(
                "give all of --train-images, --train-annotations, --val-images, "
                "--val-annotations; or the first two and --val-share"
            )
        return DataSource(Split.at(*train), Split.at(*val))

    def needed_source(self) -> DataSource:
        """The same; a usage error where the options name no data."""
        source = self.source()
        if source is None:
            raise typer.BadParameter("give --data, or the four paths of images and annotations")
        return source


MOVED_DATA = tuple(name for name in DataPaths.model_fields if name != "val_share")
"""The options that say where the data of a resumed study lie now."""


class FolderOrFile(DataPlace):
    """Annotated images: a place with training and validation data, or one split."""

    images: _images = None
    annotations: _annotations = None

    def at(self, place: Path | str | None) -> Self:
        """The same with the place that was given without an option."""
        if place is None:
            return self
        if self.data is not None:
            raise typer.BadParameter(f"{place} is given as well; give one", param_hint="--data")
        return self.model_copy(update={"data": place})

    def read(self) -> DataSource | Split:
        """Both splits, or the one given."""
        # Only here: a help text needs no torch.
        from detectors.data.readers import DataSource, Split

        if bool(self.data) == bool(self.images or self.annotations):
            raise typer.BadParameter("give --data, or --images and --annotations")
        if self.data:
            return self.found()
        if not (self.images and self.annotations):
            raise typer.BadParameter("give both --images and --annotations")
        split = Split.at(self.images, self.annotations)
        return DataSource.cut_from(split, self.val_share) if self.val_share else split

    def scored(self) -> tuple[Split, bool]:
        """The split that a model is scored on, and whether it is one for validation."""
        # Only here: a help text needs no torch.
        from detectors.data.readers import DataSource

        found = self.read()
        return (found.val, True) if isinstance(found, DataSource) else (found, False)


Quiet = Annotated[
    bool,
    Field(description="Print only errors, and the result at the end."),
]


AsJson = Annotated[
    bool,
    Option(name="--json"),
    Field(description="Print the result as JSON, and all else to standard error."),
]


class StudyPlace(Options):
    """Where a study is begun, or which one is resumed."""

    out: Annotated[OutStudy | None, Option("FOLDER|ADDRESS")] = Field(
        default=None,
        description="Folder of the study, or an address such as s3://BUCKET/PATH; a new folder in "
        "runs/ by default.",
    )
    resume: Annotated[ResumedStudy | None, Option("FOLDER|ADDRESS")] = Field(
        default=None, description="Resume the study in this folder, or at this address."
    )
    retry_failed: bool = Field(
        default=False,
        description="With --resume: also run again the trials that failed because of their "
        "design, for example by running out of memory.",
    )
    quiet: Quiet = False
    as_json: AsJson = False

    def folder(self, name: str) -> Path:
        """The folder of the study: a new one, named by what is run and the time, by default."""
        return self.resume or self.out or Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


class StudyOptions(StudyPlace):
    """Which study is begun or resumed."""

    model_config = ConfigDict(title="Study")

    space: Annotated[Text, Option("NAME|FILE")] = Field(
        default="auto",
        description="Named space, or a TOML file; by default, one is made for the data, the device "
        "and the budget.",
    )


class DeviceOption(Options):
    device: Device = None


Settings = Annotated[
    tuple[Text, ...],
    Option("PATH=VALUE", "--set"),
    Field(
        description="Set a field of the configuration, such as train.epochs=2; the value is JSON, "
        "or else text.",
    ),
]


class RunOptions(TrainingDataOptions, DeviceOption):
    """How a given trial is changed, on what it runs, and where it leaves its files."""

    settings: Settings = ()
    as_json: AsJson = False
    quiet: Quiet = False
    weights: Weights = None
    out: Annotated[OutFolder | None, Option("FOLDER")] = Field(
        default=None, description="Folder of its artefacts; a new one in runs/ by default."
    )


class TableOptions(StudyPlace):
    """Which rows of a table are run, how they are changed, and where."""

    rows: Annotated[tuple[Text, ...], Option("NAMES", comma=True)] = Field(
        default=(), description="Systems of some rows; by default all of them."
    )
    epochs_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of all epochs, such as 0.01 for a quick look at whether all of it runs.",
    )
    settings: Settings = ()


class AncestorOption(Options):
    ancestor: Annotated[InFolder | None, Option("FOLDER")] = Field(
        default=None,
        description="Saved detector whose weights training starts from; by default the one that "
        "the trial had, if any.",
    )


PlaceOfData = Annotated[
    Any,  # a path, or the address of a folder
    typer.Argument(
        parser=option_types.data,
        metavar="FOLDER|FILE|ADDRESS",
        help="The data, in place of --data.",
    ),
]
TrialName = Annotated[
    str,
    typer.Argument(
        parser=option_types.text,
        metavar="NAME|FILE",
        help="A paper's system, such as mfssd or mfssd@coco, or a trial configuration as JSON.",
    ),
]
ModelName = Annotated[
    str,
    typer.Argument(
        parser=option_types.model,
        metavar="MODEL",
        help="A trial (RUN:3 or RUN/trials/0003), the folder of a saved detector, or a file that "
        "sparrow export wrote, such as detector.onnx.",
    ),
]
StudyFolder = Annotated[
    Path,
    typer.Argument(
        parser=option_types.in_study, metavar="FOLDER|ADDRESS", help="Folder or address of a study."
    ),
]
PrintJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of random draws.")]


def parse_ratios(option: str, text: str) -> list[float]:
    """Numbers between 0 and 1 with commas between them, as an option has them."""
    try:
        ratios = [float(part) for part in text.split(",")]
    except ValueError:
        ratios = []
    if not ratios or not all(0 < ratio < 1 for ratio in ratios) or len(set(ratios)) < len(ratios):
        raise typer.BadParameter(
            f"{shown(text)}: give numbers between 0 and 1, each once, such as 0.3,0.5,0.7",
            param_hint=option,
        )
    return ratios
