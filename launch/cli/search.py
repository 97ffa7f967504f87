"""`sparrow search`: its options. The search itself is in `launch.cli.run_search`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from launch.cli.from_fields import usage_errors, with_options
from launch.cli.live import moving
from launch.cli.options import MOVED_DATA, DataPaths, StudyOptions, StudyPlace
from launch.study.search_settings import RESUMABLE, SearchSettings


@with_options
def search_command(
    context: typer.Context, study: StudyOptions, data: DataPaths, settings: SearchSettings
) -> None:
    check_place(context, study, "as_json")
    if not study.resume:
        with usage_errors():
            settings.early.check()
    # Only now: it loads torch, which no help text needs.
    with moving("Importing"):
        from launch.cli.run_search import run_search

    run_search(context, study, data, settings, study.folder(Path(study.space).stem))


def check_place(context: typer.Context, place: StudyPlace, *others: str) -> None:
    """A usage error where options do not go with a resumed study, or need one.

    Args:
        others: further options that may be given when a study is resumed.
    """
    if place.resume:
        _check_resumable(context, others)
    elif place.retry_failed:
        raise typer.BadParameter("it needs --resume", param_hint="--retry-failed")


def _check_resumable(context: typer.Context, others: Sequence[str]) -> None:
    """A usage error where an option was given that cannot change once a study has begun."""
    allowed = (*RESUMABLE, *MOVED_DATA, "resume", "retry_failed", "quiet", *others)
    for parameter in context.command.params:
        name = parameter.name
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and name not in allowed:
            option = parameter.opts[0]
            if option.startswith("--"):
                words = f"{option} was set when the study began and cannot change; leave it out"
            else:
                words = f"the study knows its {option}; leave it out"
            raise typer.BadParameter(words, param_hint="--resume")
