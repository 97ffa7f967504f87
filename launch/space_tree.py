"""A space as a tree for the terminal: what is searched, under what, and how much there is of it."""

from __future__ import annotations

import math

from rich.markup import escape
from rich.tree import Tree

from searchspace import Space


def space_tree(space: Space) -> Tree:
    """Every path that is drawn, below the fields that it belongs to, with its domain."""
    root = Tree(f"[bold]{escape(space.name)}[/bold]: {_size(space)}")
    nodes = {"": root}
    for path, domain in space.searched():
        names = path.split(".")
        for depth in range(1, len(names)):
            here, above = ".".join(names[:depth]), ".".join(names[: depth - 1])
            if here not in nodes:
                nodes[here] = nodes[above].add(names[depth - 1])
        nodes[".".join(names[:-1])].add(f"[bold]{names[-1]}[/bold]  {escape(str(domain))}")
    return root


def _size(space: Space) -> str:
    """How many configurations, e.g. `480 configurations, before 2 real-valued ranges`."""
    count = f"{space.size(real=1):,.0f} configurations"
    real = sum(math.isinf(domain.size()) for _, domain in space.searched())
    return f"{count}, before {real} real-valued ranges" if real else count
