"""`sparrow report`: rebuild the front and the report of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launch.cli import option_types
from launch.cli.options import PrintJson, StudyFolder
from launch.cli.search_output import end_without_members, print_front
from launch.cli.terminal import console, errors
from launch.files import REPORT_HTML
from launch.report import front_table
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
    as_json: PrintJson = False,
) -> None:
    """Rebuild the front and the report of a study from stored results."""
    if out and measured is None:
        raise typer.BadParameter("it goes with --measured only", param_hint="--out")
    if measured is None:
        print_front(folder, report(folder), as_json)
        return
    # Only here: it takes what times detectors.
    from launch.searches.measured import measured_report

    front, records, place = measured_report(folder, measured, out)
    say_where = errors if as_json else console
    if as_json:
        console.say_json(front.model_dump(mode="json", by_alias=True))
    else:
        console.print(front_table(records, read_settings(folder).goal.objectives))
    say_where.say(f"Report: {place / REPORT_HTML}")
    end_without_members(folder, front, say_where)
