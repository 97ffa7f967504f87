"""`sparrow data preview`: augmented training images, to look at before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field
from torchvision.io import encode_png

from detectors.data.readers import DataSource
from detectors.data.reading import read_split
from launch.cli.contact_sheet import OTHER, PASTED, SMALL, contact_sheet
from launch.cli.from_fields import usage_errors, with_options
from launch.cli.names import read_trial
from launch.cli.options import FolderOrFile, InFile, Options, OutFile, PlaceOfData, Seed
from launch.cli.terminal import console
from launch.study.data_options import DataOptions
from launch.study.options import Option
from searchspace import TrainConfig
from searchspace.detector import DetectorConfig
from searchspace.geometry import Canvas, canvas_of

MOST_SIDE = 8192
"""Pixels of a side; a larger image takes gigabytes."""

PASTING = ("copies", "pastes", "probability", "source")
PLAIN = {"photometric": 0.0, "zoom_out": 0.0, "crop": 0.0, "flip": 0.0}
"""What `--plain` leaves out."""


class Recipe(Options):
    """How images are augmented: as in a trial, or by options."""

    config: Annotated[InFile | None, Option("FILE")] = Field(
        default=None, description="Trial as JSON, in place of the other options of augmentation."
    )
    size: int | None = Field(default=None, ge=1, le=MOST_SIDE, description="Input size in pixels.")
    copies: int | None = Field(
        default=None, ge=0, le=3, description="Additional images of copy-paste."
    )
    pastes: int | None = Field(default=None, ge=1, le=3, description="Pastes of each small object.")
    probability: float | None = Field(
        default=None, ge=0, le=1, description="Probability of pasting into an original image."
    )
    source: Literal["mask", "box", "mask_or_box"] | None = Field(
        default=None, description="Cut out pastes by mask or box."
    )
    mosaic: float | None = Field(
        default=None, ge=0, le=1, description="Probability of a mosaic of four images."
    )
    plain: bool = Field(default=False, description="No changes of colour, zoom, crop or flip.")

    def read(self) -> tuple[TrainConfig, Canvas]:
        """How images are augmented, and how they are placed on the network's input."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"plain"}}
        if self.config is None:
            pasting = {name: value for name, value in given.items() if name in PASTING}
            augment = PLAIN if self.plain else {}
            if self.mosaic is not None:
                augment = augment | {"mosaic": self.mosaic}
            with usage_errors():
                train = TrainConfig.model_validate({"copy_paste": pasting, "augment": augment})
            return train, canvas_of(self.size or DetectorConfig().input_size)
        if self.plain or given.keys() - {"config"}:
            raise typer.BadParameter(
                "it sets the augmentation; give either it or augmentation options",
                param_hint="--config",
            )
        trial = read_trial(self.config)
        return trial.train, trial.detector.canvas


class SheetOptions(Options):
    """What is drawn, and where it is written."""

    count: int = Field(default=16, ge=1, le=1024, description="Number of images.")
    out: Annotated[OutFile, Option("FILE")] = Field(
        default=Path("preview.png"), description="PNG to write."
    )
    overwrite: bool = Field(default=False, description="Replace the file if there is one.")


@with_options
def preview_command(
    source: FolderOrFile,
    recipe: Recipe,
    data: DataOptions,
    sheet: SheetOptions,
    seed: Seed = 0,
    place: PlaceOfData = None,
) -> None:
    if sheet.out.exists() and not sheet.overwrite:
        raise FileExistsError(f"{sheet.out} exists; choose another file, or give --overwrite")
    train, canvas = recipe.read()
    found = source.at(place).read()
    chosen = found.train if isinstance(found, DataSource) else found
    split = read_split(chosen, **data.reading)
    drawn = contact_sheet(split, train, canvas, sheet.count, seed)
    sheet.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.out.write_bytes(encode_png(drawn).numpy().tobytes())
    console.say(f"Boxes: {PASTED} pasted, {SMALL} small, {OTHER} others. {sheet.out}")
