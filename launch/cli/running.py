"""What `sparrow search` and `sparrow reproduce` have in common when they run a study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from launch.cli.bugs import bugs_kept_in
from launch.cli.from_fields import usage_errors
from launch.cli.options import DataPaths
from launch.cli.search_output import print_interrupted, printer
from launch.cli.terminal import PlainConsole, console
from launch.drivers.interrupts import interruptible
from launch.report import Front
from launch.searches import resume
from launch.study.search_settings import SearchSettings, given_options
from launch.study.settings import read_settings


@contextmanager
def running(context: typer.Context, folder: Path, out: PlainConsole = console) -> Iterator[None]:
    """While a study runs in a folder: a bug leaves its traceback there, also one after it, and an
    interruption ends the command with status 130 and how to resume."""
    context.with_resource(bugs_kept_in(folder))
    context.with_resource(interruptible())
    try:
        with usage_errors():
            yield
    except KeyboardInterrupt:
        print_interrupted(folder, out)
        raise typer.Exit(130) from None


def resumed(
    folder: Path,
    settings: SearchSettings,
    retry_failed: bool,
    data: DataPaths,
    out: PlainConsole = console,
) -> Front:
    """Resume the study in a folder, with the options that were given."""
    study = read_settings(folder)
    if cut := study.source.train.cut:
        data = data.model_copy(update={"val_share": cut.val_share})
    named = bool(data.model_fields_set - {"val_share"})
    return resume(
        folder,
        retry_failed=retry_failed,
        data=data.source() if named else None,
        on_end=printer(study.goal.objectives, folder, out),
        on_wait=out.say,
        **given_options(settings),
    )
