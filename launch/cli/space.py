"""`sparrow space`: one space as a tree, or the sizes of all named spaces, and their choices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.tree import Tree

from launch.cli import option_types
from launch.cli.options import PrintJson
from launch.cli.space_views import (
    choices_table,
    choices_tree,
    domains_json,
    systems_json,
    systems_tree,
)
from launch.cli.terminal import console, styled
from searchspace import Space, load_space, space_names

LARGE = 1e7
"""Sizes from here on are shown with two digits."""


def space_command(
    name: Annotated[
        str | None,
        typer.Argument(
            parser=option_types.text,
            metavar="NAME|FILE",
            help="A named space or a TOML file; default: all named spaces.",
        ),
    ] = None,
    choices: Annotated[
        bool, typer.Option("--choices", help="Show the choices that the papers explore.")
    ] = False,
    systems: Annotated[
        bool, typer.Option("--papers", help="Show how the papers' systems are moved to fit.")
    ] = False,
    as_json: PrintJson = False,
) -> None:
    """Show a space as a tree, with its size; without a name, the sizes of all named spaces."""
    if choices and systems:
        raise typer.BadParameter("--choices and --papers: give one of them")
    if systems and name is None:
        raise typer.BadParameter("--papers: name a space")
    spaces = [load_space(one) for one in ([name] if name else space_names())]
    if as_json:
        console.say_json(_as_json(spaces, name is None, choices, systems))
    else:
        console.print(_shown(spaces, name is None, choices, systems))


def _shown(spaces: list[Space], every: bool, choices: bool, systems: bool) -> Table | Tree:
    if choices:
        return choices_table(spaces)
    if every:
        return spaces_table(spaces)
    return systems_tree(spaces[0]) if systems else space_tree(spaces[0])


def _as_json(spaces: list[Space], every: bool, choices: bool, systems: bool) -> Any:
    if choices:
        return choices_tree(spaces)
    if every:
        return list(map(space_facts, spaces))
    [space] = spaces
    if systems:
        return systems_json(space)
    return {**space_facts(space), "domains": domains_json(space)}


def space_tree(space: Space) -> Tree:
    """Every path that is drawn, below its parent fields, with its domain.

    Conditional parameters show their condition.
    """
    root = Tree(styled((space.name, "bold"), f": {_size(space)}"))
    nodes = {"": root}
    chosen = _chosen(space)
    for path, domain in space.searched():
        names = path.split(".")
        for depth in range(1, len(names)):
            here, above = ".".join(names[:depth]), ".".join(names[: depth - 1])
            if here not in nodes:
                name = names[depth - 1]
                under = f"  if kind is {name}" if above in chosen else ""
                nodes[here] = nodes[above].add(styled(name, (under, "dim")))
        nodes[".".join(names[:-1])].add(styled((names[-1], "bold"), f"  {domain}"))
    return root


def spaces_table(spaces: Iterable[Space]) -> Table:
    """Spaces with their sizes."""
    table = Table(caption="Configurations, not counting real-valued ranges.")
    # To fit into eighty columns with full names of spaces.
    table.add_column("Space", no_wrap=True)
    for column in ("Parameters", "Conditional", "Ranges", "Configurations", "Papers"):
        table.add_column(column, justify="right", no_wrap=True)
    for space in spaces:
        table.add_row(space.name, *space_row(space))
    return table


def space_row(space: Space) -> tuple[str, str, str, str, str]:
    """Numbers of parameters, of conditional and real-valued ones, configurations and systems."""
    facts = space_facts(space)
    size = facts["configurations"]
    return (
        str(facts["parameters"]),
        str(facts["conditional"]),
        str(facts["ranges"]),
        f"{size:.1e}" if size >= LARGE else f"{size:,.0f}",
        str(len(facts["papers"])),
    )


def space_facts(space: Space) -> dict[str, Any]:
    """The same as numbers, with the names of the systems; real-valued ranges are not counted."""
    owners = [path.removesuffix(".kind") for path, _ in space.searched()]
    chosen = tuple(f"{path}." for path in _chosen(space))
    return {
        "name": space.name,
        "parameters": len(owners),
        "conditional": sum(path.startswith(chosen) for path in owners),
        "ranges": _real(space),
        "configurations": space.size(real=1),
        "papers": list(space.papers()),
    }


def _chosen(space: Space) -> set[str]:
    """The choices among kinds, by the path of their field."""
    return {path.removesuffix(".kind") for path, _ in space.searched() if path.endswith(".kind")}


def _real(space: Space) -> int:
    return sum(math.isinf(domain.size()) for _, domain in space.searched())


def _size(space: Space) -> str:
    """How many there are, e.g. `480 configurations, not counting 2 real-valued ranges`."""
    count = f"{space.size(real=1):,.0f} configurations"
    real = _real(space)
    ranges = f"real-valued range{'' if real == 1 else 's'}"
    return f"{count}, not counting {real} {ranges}" if real else count
