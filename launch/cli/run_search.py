"""`sparrow search`: start or resume a study, and print its results."""

from __future__ import annotations

from pathlib import Path

import typer

from detectors.data.readers import DataSource
from detectors.data.shapes import generate_shapes
from launch.cli.bugs import bugs_kept_in
from launch.cli.from_fields import usage_errors
from launch.cli.options import DataPaths, StudyOptions
from launch.cli.search_output import print_front, print_interrupted, print_no_front, printer
from launch.cli.terminal import console
from launch.drivers.interrupts import interruptible
from launch.report import Front
from launch.searches import resume, search
from launch.study.search_settings import SearchSettings, changed, given_options
from launch.study.settings import read_settings

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
    context.with_resource(bugs_kept_in(folder))
    context.with_resource(interruptible())
    try:
        with usage_errors():
            front = (
                _resumed(folder, settings, study.retry_failed)
                if study.resume
                else _begun(folder, settings, study.space, data)
            )
    except KeyboardInterrupt:
        print_interrupted(folder)
        raise typer.Exit(130) from None
    print_front(folder)
    if not front.members:
        print_no_front(folder)
        raise typer.Exit(1)


def _resumed(folder: Path, settings: SearchSettings, retry_failed: bool) -> Front:
    return resume(
        folder,
        retry_failed=retry_failed,
        on_end=printer(read_settings(folder).goal.objectives, folder),
        on_wait=console.say,
        **given_options(settings),
    )


def _begun(folder: Path, settings: SearchSettings, space: str, data: DataPaths) -> Front:
    source, budget = data.source(), settings.budget
    if source is None and budget.minutes is None and budget.device_hours is None:
        settings = changed(settings, minutes=SHAPES_MINUTES)
    return search(
        space,
        source or _shapes(),
        folder,
        settings=settings,
        on_end=printer(settings.goal.objectives, folder),
        on_known=console.say,
        on_wait=console.say,
    )


def _shapes() -> DataSource:
    console.say(f"No --data: searching on generated shapes in {SHAPES_FOLDER}")
    return DataSource.from_folder(generate_shapes(SHAPES_FOLDER))
