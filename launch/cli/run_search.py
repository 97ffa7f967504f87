"""`sparrow search`: start or resume a study, and print its results."""

from __future__ import annotations

from pathlib import Path

import typer

from detectors.data.readers import DataSource
from detectors.data.shapes import generate_shapes
from launch.cli.live import Screen
from launch.cli.options import DataPaths, StudyOptions
from launch.cli.running import resumed, running
from launch.cli.search_output import print_front, printer
from launch.cli.terminal import console, errors
from launch.report import Front
from launch.searches import search
from launch.study.search_settings import SearchSettings, changed
from launch.trial.copies import shown_place

SHAPES_FOLDER = Path("runs/shapes")
SHAPES_MINUTES = 7.5
"""Time limit of a search on generated shapes that is given none."""


def run_search(
    context: typer.Context,
    study: StudyOptions,
    data: DataPaths,
    settings: SearchSettings,
    folder: Path,
) -> None:
    """Start or resume a search in a folder; ends with status 1 if there is no front."""
    out = errors if study.as_json else console
    with running(context, folder, study.quiet, out) as screen:
        front = (
            resumed(folder, settings, study.retry_failed, data, screen)
            if study.resume
            else _begun(folder, settings, study.space, data, screen)
        )
    print_front(folder, front, study.as_json)


def _begun(
    folder: Path, settings: SearchSettings, space: str, data: DataPaths, screen: Screen
) -> Front:
    source, budget = data.source(), settings.budget
    if source is None and budget.time_limit is None and budget.device_hours is None:
        settings = changed(settings, minutes=SHAPES_MINUTES)
    source = source or _shapes(screen)
    screen.say(f"Search of the space {space} on {source.shown}, in {shown_place(folder)}")
    return search(
        space,
        source,
        folder,
        settings=settings,
        on_end=printer(settings.goal.objectives, folder, screen.say_words),
        on_known=screen.say,
        on_wait=screen.say,
    )


def _shapes(screen: Screen) -> DataSource:
    screen.say(f"No --data: searching on generated shapes in {SHAPES_FOLDER}")
    return DataSource.from_folder(generate_shapes(SHAPES_FOLDER))
