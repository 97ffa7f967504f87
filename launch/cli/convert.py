"""`sparrow data convert`: a data set written anew in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from detectors.data.convert import convert
from detectors.data.readers import DataSource
from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.given import read_data
from launch.cli.options import Options, ValShare
from launch.cli.terminal import console
from launch.study.data_options import DataOptions
from launch.study.options import Option
from searchspace.words import counted


class Form(Options):
    """What is written."""

    to: Annotated[Literal["coco", "yolo", "voc"], Option("FORMAT")] = Field(
        default="coco", description="Format: coco, yolo or voc."
    )
    val_share: ValShare = None
    link: bool = Field(
        default=False, description="Link images (hard links) in place of copying them."
    )


@with_options
def convert_command(
    source: Annotated[
        Any,
        typer.Argument(
            parser=option_types.data, metavar="SOURCE", help="Folder or file, as for --data."
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            parser=option_types.out_folder, metavar="FOLDER", help="New folder to write to."
        ),
    ],
    form: Form,
    data: DataOptions,
) -> None:
    found = DataSource.from_folder(source, form.val_share)
    read = read_data(found, data.reading, None, console.say)
    done = convert(read.train, read.val, out, form.to, form.link)
    images, boxes = counted(done.images, "image"), counted(done.objects, "object")
    console.say(f"{out}: {images} and {boxes} as {form.to}")
    if done.lost:
        console.say(f"warning: {form.to} has no room for {', '.join(done.lost)}")
