"""`--debug`, an option of `sparrow` itself, and the environment variable that it sets."""

from __future__ import annotations

import os
from typing import Annotated

import typer

VARIABLE = "SPARROW_DEBUG"


def debugging() -> bool:
    """Whether tracebacks are shown on the terminal."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def _set(asked: bool) -> bool:
    if asked:
        os.environ[VARIABLE] = "1"  # also for the processes that a search starts
    return asked


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_set, help=f"Show tracebacks; same as {VARIABLE}=1."),
]
