"""What the commands share: options and the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console()

Data = Annotated[
    Path | None,
    typer.Option(help="COCO folder: train/, val/, annotations/instances_{train,val}.json."),
]
Images = Annotated[Path | None, typer.Option(help="Image folder, in place of --data.")]
Annotations = Annotated[Path | None, typer.Option(help="COCO file, in place of --data.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Drop bad entries, count them, go on.")]
