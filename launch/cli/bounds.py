"""The options `--min-...` and `--max-...` of a search: one for each figure there is."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from launch.cli import option_types
from launch.constraints import bound_fault, parse_count
from launch.figures import FIGURES, Figure
from searchspace.errors import InputError


def bound_options() -> list[inspect.Parameter]:
    """The bounds as parameters of a command for Typer, by names such as `min_fps`."""
    return [_option(row) for row in FIGURES.values()]


def _option(row: Figure) -> inspect.Parameter:
    """The option of a figure's bound, whose value is checked for what no detector can keep to."""

    def parse(value: str | float) -> float:
        bound = _count(value) if row.counted else option_types.number()(value)
        if fault := bound_fault(row.name, bound):
            raise typer.BadParameter(fault)
        return bound

    limit = "At least" if row.better == "up" else "At most"
    units = "; k, M, G" if row.counted else ""
    option = typer.Option(
        parser=parse,
        metavar="NUMBER",
        help=f"{limit} this {row.heading} on the front{units}.",
        rich_help_panel="Bounds",
    )
    return inspect.Parameter(
        row.bound,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[float | None, option],
    )


def _count(value: str | float) -> float:
    """A number of things."""
    try:
        return value if isinstance(value, float) else parse_count(value)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None
