"""`sparrow search`: its options. The search itself is in `launch.cli.run_search`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field

from launch.cli.from_fields import usage_errors, with_options
from launch.cli.options import DataPaths, InFolder, OutFolder
from launch.study.options import Option, Text
from launch.study.search_settings import RESUMABLE, SearchSettings

SHAPES_FOLDER = Path("runs/shapes")
SHAPES_MINUTES = 7.5
"""Time limit of a search on generated shapes that is given none."""


class StudyOptions(BaseModel):
    """Which study is begun or resumed."""

    model_config = ConfigDict(frozen=True, title="Study")

    space: Annotated[Text, Option("NAME|FILE")] = Field(
        default="quick", description="Named space, or a TOML file."
    )
    out: Annotated[OutFolder | None, Option("FOLDER")] = Field(
        default=None, description="Folder of the study; a new one in runs/ by default."
    )
    resume: Annotated[InFolder | None, Option("FOLDER")] = Field(
        default=None, description="Resume the study in this folder."
    )
    retry_failed: bool = Field(
        default=False,
        description="With --resume: also run again the trials that failed by their design, such "
        "as for want of memory.",
    )


@dataclass(frozen=True)
class Asked:
    """The request of a command line."""

    study: StudyOptions
    data: DataPaths
    settings: SearchSettings
    folder: Path

    @property
    def space(self) -> str:
        return self.study.space

    @property
    def resumes(self) -> bool:
        return self.study.resume is not None

    @property
    def retry_failed(self) -> bool:
        return self.study.retry_failed


@with_options
def search_command(
    context: typer.Context, study: StudyOptions, data: DataPaths, settings: SearchSettings
) -> None:
    if study.resume:
        _check_resumable(context)
    elif study.retry_failed:
        raise typer.BadParameter("it needs --resume", param_hint="--retry-failed")
    else:
        with usage_errors():
            settings.early.check()
    # Only now: it loads torch, which no help text needs.
    from launch.cli.run_search import run_search

    folder = study.resume or study.out or _new_folder(study.space)
    run_search(context, Asked(study, data, settings, folder))


def _new_folder(space: str) -> Path:
    """The default folder of a study, named by its space."""
    return Path("runs") / f"{Path(space).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def _check_resumable(context: typer.Context) -> None:
    """A usage error where an option was given that a study has settled for good."""
    for parameter in context.command.params:
        name = parameter.name
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and name not in (*RESUMABLE, "resume", "retry_failed"):
            raise typer.BadParameter(
                f"the study has settled {parameter.opts[0]} for good; leave it out",
                param_hint="--resume",
            )
