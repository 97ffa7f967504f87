"""`sparrow clean`: what searches that were killed left on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launch.cli import option_types
from launch.cli.terminal import console, show_error
from launch.drivers.leftovers import Leftover, of_machine, of_study
from launch.study.opening import worked_on
from searchspace.words import counted


def clean_command(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=option_types.in_folder,
            metavar="STUDY",
            help="Studies of which half-written files and half-made stages are removed, too.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
) -> None:
    """Running searches are left alone, as are half-made stages from which trials would go on."""
    found = of_machine()
    for study in studies or ():
        found += of_study(study)
        if holder := worked_on(study):
            console.say(f"{study}: left alone: {holder}")
    failed, size = 0, 0
    for left in found:
        try:
            mine = left.bytes
            words = _in_words(left, mine)
            if not dry_run:
                left.remove()
        except OSError as error:
            show_error(f"{left.path}: it cannot be removed ({error.strerror})")
            failed += 1
            continue
        size += mine
        console.say(words)
    what = f"{counted(len(found) - failed, 'leftover')}, {size / 1e6:.1f} MB"
    console.say(f"{what}, {'would be removed' if dry_run else 'removed'}")
    if failed:
        raise typer.Exit(1)


def _in_words(left: Leftover, size: int) -> str:
    running = f", {counted(len(left.processes), 'process', 'processes')}" if left.processes else ""
    return f"{left.path}: {left.what}{running}, {size / 1e6:.1f} MB"
