"""`sparrow report`: rebuild the front and the report of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launch.cli import option_types
from launch.cli.options import StudyFolder
from launch.cli.search_output import print_front, print_no_front
from launch.cli.terminal import console
from launch.files import REPORT_HTML
from launch.report import Front, front_table
from launch.searches import report
from launch.study.settings import read_settings


def report_command(
    folder: StudyFolder,
    measured: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.in_file,
            metavar="FILE",
            help="Write another report, over the speeds that a device measured with a bundle of "
            "the study (sparrow bundle).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.out_folder,
            metavar="FOLDER",
            help="Folder of that report; by default measured/FILE in the study's.",
        ),
    ] = None,
) -> None:
    """Rebuild the front and the report of a study from stored results."""
    if out and measured is None:
        raise typer.BadParameter("it goes with --measured only", param_hint="--out")
    if measured:
        front = _measured(folder, measured, out)
    else:
        front = report(folder)
        print_front(folder)
    if not front.members:
        print_no_front(folder)
        raise typer.Exit(1)


def _measured(folder: Path, file: Path, out: Path | None) -> Front:
    # Only here: it takes what times detectors.
    from launch.searches.measured import measured_report

    front, records, place = measured_report(folder, file, out)
    console.print(front_table(records, read_settings(folder).goal.objectives))
    console.say(f"Report: {place / REPORT_HTML}")
    return front
