"""`sparrow submit`: a search as a job on a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from launch.cli import option_types
from launch.cli.terminal import console, errors, show_error
from searchspace.masking import without_secrets
from searchspace.plugins import load_plugins

JOBS = ("search", "reproduce")
"""The commands that run trials on a cluster."""

NO_WEIGHTS = "none"
"""What `--weights` may be besides a path."""

MUST_BE_ABSOLUTE = "give an absolute path, which all nodes of the cluster see"


def submit_command(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="search|reproduce", help="The command, with its options and arguments."
        ),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            parser=option_types.text,
            metavar="URL",
            help="The cluster's job server, such as http://HEAD:8265; that of this machine by "
            "default.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option(help="Print what the job prints until it ends; Ctrl-C leaves it alone.")
    ] = True,
) -> None:
    """The code of this Sparrow, plugins and a space's file travel with the job; its libraries have
    to be installed on the cluster, and paths are those of the cluster."""
    arguments, files = _for_cluster(command)
    # Only now: it loads Ray.
    from launch.drivers.jobs import submit

    job = submit(arguments, load_plugins(), files, address)
    errors.say(without_secrets(f"job {job.name} on {job.address}"))
    if not follow:
        _say_how(job)
        return
    try:
        status = job.follow(console.say)
    except KeyboardInterrupt:
        errors.say("The job goes on.")
        _say_how(job)
        return
    if status != "SUCCEEDED":
        show_error(f"the job ended as {status}: {job.why()}")
        raise typer.Exit(1)


def _say_how(job: Any) -> None:
    errors.say(without_secrets(f"Follow it with: {job.command('logs --follow')}"))
    errors.say(without_secrets(f"Stop it with:   {job.command('stop')}"))


def _for_cluster(command: list[str]) -> tuple[list[str], list[Path]]:
    """The arguments of the job, and the files that it needs; a usage error where the command would
    not run there."""
    name, *arguments = command
    if name not in JOBS:
        raise typer.BadParameter(f"{name}: only {' and '.join(JOBS)} run as jobs")
    given = _parsed(name, arguments)
    for option, value in given.items():
        paths = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(p, Path) and str(p) != NO_WEIGHTS and not p.is_absolute() for p in paths):
            raise typer.BadParameter(MUST_BE_ABSOLUTE, param_hint=f"--{option.replace('_', '-')}")
    if not (given.get("out") or given.get("resume")):
        raise typer.BadParameter(MUST_BE_ABSOLUTE, param_hint="--out")
    files = []
    space = given.get("space")
    if space and Path(space).is_file():
        files.append(Path(space))
        arguments = [_named(argument, space) for argument in arguments]
    reached = [] if given.get("address") else ["--address", "auto"]
    return [name, *arguments, *reached], files


def _parsed(name: str, arguments: list[str]) -> dict[str, Any]:
    """The options of a command by name, which are checked as far as they can be here."""
    from launch.cli.lazy import LazyCommand
    from launch.cli.main import COMMANDS

    entries = {name: entry for panel in COMMANDS.values() for name, entry in panel.items()}
    loaded = LazyCommand(name, "", entries[name])
    with option_types.elsewhere():
        return loaded.make_context(f"sparrow {name}", list(arguments)).params


def _named(argument: str, space: str) -> str:
    """An argument in which the path of a space's file is its name."""
    return (
        Path(space).name
        if argument == space
        else argument.replace(f"={space}", f"={Path(space).name}")
    )
