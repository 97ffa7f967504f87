"""The options of `sparrow` itself. `--plugin` stands before or after the command's name."""

from __future__ import annotations

from typing import Annotated

import typer

from launch.cli.debug import Debug

OPTION = "--plugin"


def _load(names: list[str] | None) -> list[str] | None:
    """Load plugins while the command line is parsed: commands and options may depend on them."""
    if names:
        from searchspace.plugins import PluginError, load_plugins  # not needed for a help text

        try:
            load_plugins(names)
        except PluginError as error:
            raise typer.BadParameter(str(error)) from error
    return names


def _show_version(wanted: bool) -> None:
    if wanted:
        # Neither is needed for a help text.
        from importlib.metadata import version

        from launch.cli.terminal import console

        console.say(f"sparrow {version('sparrow-search')}")
        raise typer.Exit


def sparrow(
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            OPTION,
            callback=_load,
            is_eager=True,
            metavar="MODULE|FILE",
            help="Module or Python file that registers your own classes; repeatable.",
        ),
    ] = None,
    debug: Debug = False,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options of all commands."""


def plugins_first(arguments: list[str]) -> list[str]:
    """The arguments of `sparrow` with `--plugin NAME` and `--plugin=NAME` before the command."""
    first, rest, left = [], [], iter(arguments)
    for argument in left:
        if argument == "--":
            return [*first, *rest, argument, *left]
        value = next(left, None) if argument == OPTION else None
        if value is not None:
            first += [argument, value]
        else:
            (first if argument.startswith(f"{OPTION}=") else rest).append(argument)
    return [*first, *rest]
