"""`sparrow trials`: all trials of a study as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from launch.cli import option_types
from launch.cli.options import PrintJson, StudyFolder
from launch.cli.terminal import console, plain_table
from launch.figures import FIGURES, columns, show
from launch.report.trial_table import trial_table, write_table
from launch.study.opening import read_records
from launch.study.settings import read_settings

if TYPE_CHECKING:
    from pandas import DataFrame


def trials_command(
    folder: StudyFolder,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.out_file,
            metavar="FILE",
            help="Write all columns to this .csv or .parquet file: every figure and choice.",
        ),
    ] = None,
    as_json: PrintJson = False,
) -> None:
    objectives = read_settings(folder).goal.objectives
    table = trial_table(read_records(folder), objectives)
    if out is not None:
        write_table(table, out)
        console.say(f"{out}: {len(table)} trials, {len(table.columns)} columns")
    elif as_json:
        console.say_json(json.loads(table.to_json(orient="records")))
    else:
        console.print(_shown(table, columns(objectives)))


def _shown(table: DataFrame, figures: tuple[str, ...]) -> Table:
    """The columns that a terminal has room for."""
    shown = plain_table()
    shown.add_column("Trial", justify="right", no_wrap=True)
    shown.add_column("State", no_wrap=True)
    for name in figures:
        shown.add_column(FIGURES[name].heading, justify="right", no_wrap=True)
    shown.add_column("Design, or why it ended", overflow="fold", min_width=20)
    for row in table.to_dict("records"):
        state = "front" if row["on_front"] else str(row["state"])
        values = (show(name, None if row[name] != row[name] else row[name]) for name in figures)
        shown.add_row(str(row["number"]), state, *values, str(row["reason"] or row["design"]))
    return shown
