"""`sparrow space`: one space as a tree, or the sizes of all named spaces."""

from __future__ import annotations

import math
from typing import Annotated

import typer
from rich.table import Table
from rich.tree import Tree

from launch.cli import option_types
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
) -> None:
    """Show a space as a tree, with its size; without a name, the sizes of all named spaces."""
    console.print(spaces_table() if name is None else space_tree(load_space(name)))


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


def spaces_table() -> Table:
    """The spaces that ship, with their sizes."""
    table = Table(caption="Configurations, not counting real-valued ranges.")
    # To fit into eighty columns with full names of spaces.
    table.add_column("Space", no_wrap=True)
    for column in ("Parameters", "Conditional", "Ranges", "Configurations", "Papers"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in space_names():
        table.add_row(name, *space_row(load_space(name)))
    return table


def space_row(space: Space) -> tuple[str, str, str, str, str]:
    """Numbers of parameters, of conditional and real-valued ones, configurations and systems."""
    owners = [path.removesuffix(".kind") for path, _ in space.searched()]
    chosen = tuple(f"{path}." for path in _chosen(space))
    conditional = sum(path.startswith(chosen) for path in owners)
    size = space.size(real=1)
    return (
        str(len(owners)),
        str(conditional),
        str(_real(space)),
        f"{size:.1e}" if size >= LARGE else f"{size:,.0f}",
        str(len(space.papers())),
    )


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
