"""`sparrow bundle`: detectors of a study in one file, to be measured where Sparrow cannot run."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from launch.cli import option_types
from launch.cli.options import StudyFolder
from launch.cli.terminal import console
from launch.searches.bundle import MOST, write_bundle
from searchspace.words import command, counted


def bundle_command(
    folder: StudyFolder,
    out: Annotated[
        Path, typer.Option(parser=option_types.out_file, metavar="FILE", help="The file.")
    ] = Path("bundle.zip"),
    most: Annotated[
        int, typer.Option(min=1, max=1000, help="Detectors in it: the front, and what comes next.")
    ] = MOST,
    data: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.path,
            metavar="FOLDER|FILE",
            help="Where the study's data lie now, if they were moved.",
        ),
    ] = None,
) -> None:
    """The device needs Python, NumPy, and ONNX Runtime or OpenVINO."""
    bundle = write_bundle(folder, out, most, data, console.say)
    size = out.stat().st_size / 1e6
    console.say(f"{out}: {counted(len(bundle.members), 'detector')}, {size:.1f} MB")
    answer = "measured.json"
    console.say(f"Copy it to the device and run there: python {quote(out.name)} --out {answer}")
    console.say(f"Then, here: {command('report', folder, '--measured', answer)}")
