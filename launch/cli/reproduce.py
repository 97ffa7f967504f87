"""`sparrow reproduce`: the rows of a paper's table as given trials, beside the published figures.

The trials themselves are run by `launch.cli.run_table`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.live import moving
from launch.cli.options import DataPaths, TableOptions
from launch.cli.search import check_place
from launch.cli.terminal import console
from launch.study.search_settings import GivenSettings
from searchspace.papers.tables import TABLES, needed_elsewhere, table_named, with_needed_there


@with_options
def reproduce_command(
    context: typer.Context,
    options: TableOptions,
    data: DataPaths,
    settings: GivenSettings,
    table: Annotated[
        str | None,
        typer.Argument(
            parser=option_types.text,
            metavar="TABLE",
            help="A paper's table, such as fssd-2; without one, all tables are listed.",
        ),
    ] = None,
) -> None:
    check_place(context, options, "as_json")
    if options.resume is None:
        if table is None:
            _list(options.as_json)
            return
        table_named(table)
    # Only now: it loads torch, which no help text needs.
    with moving("Importing"):
        from launch.cli.run_table import run_table

    run_table(context, table, options, data, settings, options.folder(table or "table"))


def _list(as_json: bool) -> None:
    if as_json:
        tree = [
            {
                "name": name,
                "title": table.title,
                "source": table.source,
                "data": table.data,
                "figures": table.figures,
                "rows": {
                    row.system: {figure: row.published(figure) for figure in table.figures}
                    for row in table.rows
                },
                "needed": _needed(table.systems),
            }
            for name, table in TABLES.items()
        ]
        console.say_json(tree)
        return
    for line in _lines():
        console.say(line)


def _lines() -> Iterator[str]:
    for name, table in TABLES.items():
        yield f"{name}: {table.title}"
        yield f"  {table.source}"
        yield f"  rows: {', '.join(table.systems)}"
        needed = _needed(table.systems)
        also = f"; also trains {', '.join(needed)}" if needed else ""
        yield f"  needs: {table.data}{also}"
        for system, others in needed_elsewhere(table.systems).items():
            yield f"  {system} needs, in a folder of that name: {', '.join(others)}"


def _needed(systems: tuple[str, ...]) -> list[str]:
    """The systems that rows need and that are not rows themselves."""
    return [name for name in with_needed_there(systems) if name not in systems]
