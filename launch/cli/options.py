"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detectors.data.coco import DataSource, Split
from launch.cli import option_types
from searchspace.reading import shown
from searchspace.trial import MOST_SEED

Data = Annotated[
    Path | None,
    typer.Option(
        parser=option_types.in_folder,
        metavar="FOLDER",
        help="COCO folder: train/, val/, annotations/instances_{train,val}.json.",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        parser=option_types.in_folder, metavar="FOLDER", help="Image folder, instead of --data."
    ),
]
Annotations = Annotated[
    Path | None,
    typer.Option(parser=option_types.in_file, metavar="FILE", help="COCO file, instead of --data."),
]
TrialFile = Annotated[
    Path,
    typer.Argument(
        parser=option_types.in_file, metavar="CONFIG", help="A trial configuration as JSON."
    ),
]
ResultFolder = Annotated[
    Path | None,
    typer.Option(parser=option_types.out_folder, metavar="FOLDER", help="Folder of artefacts."),
]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED)]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Drop and count bad entries of the data.")
]

Device = Annotated[
    str | None,
    typer.Option(
        parser=option_types.text,
        metavar="DEVICE",
        help="cpu or cuda; default: a GPU if there is one.",
    ),
]

Weights = Annotated[
    str | None,
    typer.Option(
        parser=option_types.text,
        metavar="FOLDER|none",
        help="Folder or file of published weights, instead of a download; none: random weights.",
    ),
]

Ancestor = Annotated[
    Path | None,
    typer.Option(
        parser=option_types.in_folder,
        metavar="FOLDER",
        help="Saved detector whose weights training starts from; default: the trial's ancestor.",
    ),
]


def data_source(data: Path | None, paths: tuple[Path | None, ...]) -> DataSource | None:
    """The data that the options name; None if they name none. Raises a usage error."""
    if data and any(paths):
        raise typer.BadParameter("give either it or the four explicit paths", param_hint="--data")
    if data:
        return DataSource.from_folder(data)
    if not any(paths):
        return None
    given = [path for path in paths if path is not None]
    if len(given) < len(paths):
        raise typer.BadParameter(
            "give all of --train-images, --train-annotations, --val-images, --val-annotations"
        )
    train_images, train_annotations, val_images, val_annotations = given
    return DataSource(Split(train_images, train_annotations), Split(val_images, val_annotations))


def needed_source(source: DataSource | None) -> DataSource:
    """The source itself; a usage error if the options name no data."""
    if source is None:
        raise typer.BadParameter("give --data, or the four paths of images and annotations")
    return source


def parse_ratios(option: str, text: str) -> list[float]:
    """Comma-separated numbers between 0 and 1 from an option; raises a usage error for others."""
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
