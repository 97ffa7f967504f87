"""`sparrow search`: start or resume a study, and print its results."""

from __future__ import annotations

import typer

from detectors.data.coco import DataSource
from detectors.data.shapes import generate_shapes
from launch.cli.bugs import bugs_kept_in
from launch.cli.from_fields import usage_errors
from launch.cli.search import SHAPES_FOLDER, SHAPES_MINUTES, Asked
from launch.cli.search_output import print_front, print_interrupted, print_no_front, printer
from launch.cli.terminal import console
from launch.drivers.interrupts import interruptible
from launch.report import Front
from launch.searches import resume, search
from launch.study.search_settings import changed, given_options
from launch.study.settings import read_settings


def run_search(context: typer.Context, asked: Asked) -> None:
    """Run the requested search; ends with status 1 if there is no front."""
    context.with_resource(bugs_kept_in(asked.folder))
    context.with_resource(interruptible())
    try:
        with usage_errors():
            front = _resumed(asked) if asked.resumes else _begun(asked)
    except KeyboardInterrupt:
        print_interrupted(asked.folder)
        raise typer.Exit(130) from None
    print_front(asked.folder)
    if not front.members:
        print_no_front(asked.folder)
        raise typer.Exit(1)


def _resumed(asked: Asked) -> Front:
    return resume(
        asked.folder,
        retry_failed=asked.retry_failed,
        on_end=printer(read_settings(asked.folder).goal.objectives, asked.folder),
        on_wait=console.say,
        **given_options(asked.settings),
    )


def _begun(asked: Asked) -> Front:
    source, settings = asked.data.source(), asked.settings
    budget = settings.budget
    if source is None and budget.minutes is None and budget.device_hours is None:
        settings = changed(settings, minutes=SHAPES_MINUTES)
    return search(
        asked.space,
        source or _shapes(),
        asked.folder,
        settings=settings,
        on_end=printer(settings.goal.objectives, asked.folder),
        on_known=console.say,
        on_wait=console.say,
    )


def _shapes() -> DataSource:
    console.say(f"No --data: searching on generated shapes in {SHAPES_FOLDER}")
    return DataSource.from_folder(generate_shapes(SHAPES_FOLDER))
