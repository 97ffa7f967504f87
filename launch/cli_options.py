"""What the commands share: options, what they say, and the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from detectors.data.coco import DataSource, Split

console = Console()

Data = Annotated[
    Path | None,
    typer.Option(help="COCO folder: train/, val/, annotations/instances_{train,val}.json."),
]
Images = Annotated[Path | None, typer.Option(help="Image folder, in place of --data.")]
Annotations = Annotated[Path | None, typer.Option(help="COCO file, in place of --data.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Drop bad entries, count them, go on.")]

Device = Annotated[str | None, typer.Option(help="cpu or cuda; a GPU is taken if there is one.")]

Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|none",
        help="Published weights that backbones start from, in place of a download; none: random.",
    ),
]


def data_source(data: Path | None, paths: tuple[Path | None, ...]) -> DataSource | None:
    """The data that the options name; None where they name none."""
    if data and any(paths):
        raise ValueError("--data and explicit paths exclude each other")
    if data:
        return DataSource.from_folder(data)
    if not any(paths):
        return None
    if not all(paths):
        raise ValueError(
            "give all of --train-images, --train-annotations, --val-images, --val-annotations"
        )
    train_images, train_annotations, val_images, val_annotations = paths
    return DataSource(Split(train_images, train_annotations), Split(val_images, val_annotations))


def needed_source(source: DataSource | None) -> DataSource:
    """The same; raises ValueError where the options name no data."""
    if source is None:
        raise ValueError("give --data, or the four paths of images and annotations")
    return source


def parse_ratios(option: str, text: str) -> list[float]:
    """Numbers with commas between them, as an option has them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} {text}: give numbers, such as 0.3,0.5,0.7") from None
