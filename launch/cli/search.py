"""`sparrow search`: its options. The search itself is in `launch.cli.run_search`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import typer

from launch.cli.from_fields import usage_errors, with_options
from launch.cli.options import DataPaths, StudyOptions
from launch.study.search_settings import RESUMABLE, SearchSettings


@with_options
def search_command(
    context: typer.Context, study: StudyOptions, data: DataPaths, settings: SearchSettings
) -> None:
    if study.resume:
        check_resumable(context)
    elif study.retry_failed:
        raise typer.BadParameter("it needs --resume", param_hint="--retry-failed")
    else:
        with usage_errors():
            settings.early.check()
    # Only now: it loads torch, which no help text needs.
    from launch.cli.run_search import run_search

    folder = study.resume or study.out or _new_folder(study.space)
    run_search(context, study, data, settings, folder)


def _new_folder(space: str) -> Path:
    """The default folder of a study, named by its space."""
    return Path("runs") / f"{Path(space).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def check_resumable(context: typer.Context, *others: str) -> None:
    """A usage error where an option was given that a study has settled for good.

    Args:
        others: further options that may be given.
    """
    for parameter in context.command.params:
        name = parameter.name
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and name not in (*RESUMABLE, "resume", "retry_failed", *others):
            raise typer.BadParameter(
                f"the study has settled {parameter.opts[0]} for good; leave it out",
                param_hint="--resume",
            )
