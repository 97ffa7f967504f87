"""What the commands share: options, what they say, and the console."""

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
        parser=option_types.in_folder, metavar="FOLDER", help="Image folder, in place of --data."
    ),
]
Annotations = Annotated[
    Path | None,
    typer.Option(
        parser=option_types.in_file, metavar="FILE", help="COCO file, in place of --data."
    ),
]
TrialFile = Annotated[
    Path,
    typer.Argument(
        parser=option_types.in_file, metavar="CONFIG", help="A trial configuration as JSON."
    ),
]
ResultFolder = Annotated[
    Path | None,
    typer.Option(parser=option_types.out_folder, metavar="FOLDER", help="Folder of its artefacts."),
]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED)]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Drop bad entries, count them, go on.")]

Device = Annotated[
    str | None,
    typer.Option(
        parser=option_types.text,
        metavar="DEVICE",
        help="cpu or cuda; a GPU is taken if there is one.",
    ),
]

Weights = Annotated[
    str | None,
    typer.Option(
        parser=option_types.text,
        metavar="FOLDER|none",
        help="Published weights that backbones start from, in place of a download; none: random.",
    ),
]

Ancestor = Annotated[
    Path | None,
    typer.Option(
        parser=option_types.in_folder,
        metavar="FOLDER",
        help="Saved detector whose weights training starts from; default: the one the trial had.",
    ),
]


def data_source(data: Path | None, paths: tuple[Path | None, ...]) -> DataSource | None:
    """The data that the options name; None where they name none."""
    if data and any(paths):
        raise typer.BadParameter(
            "it and the four explicit paths exclude each other", param_hint="--data"
        )
    if data:
        return DataSource.from_folder(data)
    if not any(paths):
        return None
    if not all(paths):
        raise typer.BadParameter(
            "give all of --train-images, --train-annotations, --val-images, --val-annotations"
        )
    train_images, train_annotations, val_images, val_annotations = paths
    return DataSource(Split(train_images, train_annotations), Split(val_images, val_annotations))


def needed_source(source: DataSource | None) -> DataSource:
    """The same; a usage error where the options name no data."""
    if source is None:
        raise typer.BadParameter("give --data, or the four paths of images and annotations")
    return source


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
