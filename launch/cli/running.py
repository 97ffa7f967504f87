"""What `sparrow search` and `sparrow reproduce` have in common when they run a study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from launch.cli.bugs import bugs_kept_in
from launch.cli.from_fields import usage_errors
from launch.cli.live import Screen
from launch.cli.options import DataPaths
from launch.cli.search_output import print_interrupted, printer
from launch.cli.terminal import PlainConsole, console
from launch.cli.view import Announcer, announced, study_frame
from launch.drivers.interrupts import interruptible
from launch.files import SETTINGS
from launch.report import Front
from launch.searches import resume
from launch.study.search_settings import SearchSettings, given_options
from launch.study.settings import read_settings
from launch.trial.copies import fetch_study, shown_place


@contextmanager
def running(
    context: typer.Context, folder: Path, quiet: bool, out: PlainConsole = console
) -> Iterator[Screen]:
    """While a study runs in a folder, it is shown: live, or in lines. A bug leaves its traceback
    there, also one after it, and an interruption ends the command with status 130 and how to
    resume."""
    context.with_resource(bugs_kept_in(folder))
    context.with_resource(interruptible())
    screen = Screen(out, quiet)
    try:
        with usage_errors(), screen.shown(), _followed(folder, screen):
            yield screen
    except KeyboardInterrupt:
        print_interrupted(folder, out)
        raise typer.Exit(130) from None


@contextmanager
def _followed(folder: Path, screen: Screen) -> Iterator[None]:
    """Show the study in a folder, once it is there."""
    fetch_study(folder)
    if (folder / SETTINGS).exists():
        read_settings(folder)  # its plugins are loaded by this thread, not by one that looks
    if screen.live:
        screen.follow(study_frame(folder, screen.out))
        yield
    elif screen.quiet:
        yield
    else:
        with announced(folder, Announcer(screen.say)):
            yield


def resumed(
    folder: Path,
    settings: SearchSettings,
    retry_failed: bool,
    data: DataPaths,
    screen: Screen,
) -> Front:
    """Resume the study in a folder, with the options that were given."""
    study = read_settings(folder)
    screen.say(f"{study.title} on {study.source.shown}, in {shown_place(folder)}")
    if cut := study.source.train.cut:
        data = data.model_copy(update={"val_share": cut.val_share})
    named = bool(data.model_fields_set - {"val_share"})
    return resume(
        folder,
        retry_failed=retry_failed,
        data=data.source() if named else None,
        on_end=printer(study.goal.objectives, folder, screen.say_words),
        on_wait=screen.say,
        **given_options(settings),
    )
