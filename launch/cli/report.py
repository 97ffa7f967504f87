"""`sparrow report`: rebuild the front and the report of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launch.cli import option_types
from launch.cli.search_output import print_front, print_no_front
from launch.searches import report


def report_command(
    folder: Annotated[
        Path,
        typer.Argument(parser=option_types.in_folder, metavar="FOLDER", help="Folder of a study."),
    ],
) -> None:
    """Rebuild the front and the report of a study from stored results."""
    front = report(folder)
    print_front(folder)
    if not front.members:
        print_no_front(folder)
        raise typer.Exit(1)
