"""What the commands share: options, the console, and the reading of configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from searchspace import TrialConfig

console = Console()

Data = Annotated[
    Path | None,
    typer.Option(help="COCO folder: train/, val/, annotations/instances_{train,val}.json."),
]
Images = Annotated[Path | None, typer.Option(help="Image folder, in place of --data.")]
Annotations = Annotated[Path | None, typer.Option(help="COCO file, in place of --data.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Drop bad entries, count them, go on.")]


def read_config(path: Path) -> TrialConfig:
    """A trial's configuration; raises `ValueError` that names the file and each bad field."""
    try:
        return TrialConfig.model_validate_json(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {readable(error)}") from None


def readable(error: ValidationError) -> str:
    """The problems of a configuration in one line."""
    problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return "; ".join(problems)
