"""`sparrow history`: the learning curves of a study's trials."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from launch.cli import option_types
from launch.cli.options import PrintJson, StudyFolder
from launch.cli.terminal import console, plain_table
from launch.figures import FIGURES, FigureName, columns, of_source, show
from launch.report.history import Point, history, history_table, write_events
from launch.report.trial_table import write_table
from launch.study.opening import read_records
from launch.study.settings import read_settings
from searchspace.words import counted


def history_command(
    folder: StudyFolder,
    trial: Annotated[
        list[int] | None,
        typer.Option(min=0, metavar="NUMBER", help="Only this trial; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.out_file,
            metavar="FILE",
            help="Write all columns to this .csv or .parquet file: every loss and figure.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.out_folder,
            metavar="FOLDER",
            help="Write the curves for TensorBoard into this folder, also while the search runs.",
        ),
    ] = None,
    as_json: PrintJson = False,
) -> None:
    points = history(folder, read_records(folder), trial or ())
    table = history_table(points)
    if out is not None:
        write_table(table, out)
        console.say(f"{out}: {counted(len(table), 'row')}, {len(table.columns)} columns")
    if tensorboard is not None:
        written = write_events(points, tensorboard)
        console.say(f"{tensorboard}: {counted(written, 'trial')}; tensorboard --logdir shows them")
    if as_json:
        console.say_json(json.loads(table.to_json(orient="records")))
    elif out is None and tensorboard is None:
        objectives = read_settings(folder).goal.objectives
        # Costs that are no objective are the same in each epoch, and take the room of the losses.
        shown = of_source("metrics", columns())
        console.print(_shown(points, tuple(dict.fromkeys([*shown, *objectives]))))


def _shown(points: Sequence[Point], figures: Sequence[FigureName]) -> Table:
    """The columns that a terminal has room for."""
    shown = plain_table()
    for name in ("Trial", "Part", "Epoch"):
        shown.add_column(name, justify="left" if name == "Part" else "right", no_wrap=True)
    shown.add_column("Losses", overflow="fold", min_width=12)
    for name in ("Rate", "img/s", *(FIGURES[name].heading for name in figures)):
        shown.add_column(name, justify="right", no_wrap=True)
    for point in points:
        note, values = point.note, point.figures or {}
        trained = (
            (
                ", ".join(f"{name} {value:.3g}" for name, value in note.losses.items()),
                f"{note.rate or 0:.2g}",
                f"{note.images_per_s or 0:.0f}",
            )
            if note
            else ("", "", "")
        )
        part = f"{point.part} (trial {point.by})" if point.by is not None else point.part
        scores = (show(name, values[name]) if name in values else "" for name in figures)
        shown.add_row(str(point.number), part, str(point.epoch), *trained, *scores)
    return shown
