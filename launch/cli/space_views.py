"""Spaces and the papers: which choices a space has, and how far systems are moved into it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.tree import Tree

from launch.cli.terminal import styled
from searchspace import Space, papers
from searchspace.choices import CHOICES, PaperChoice
from searchspace.distances import Distance, distances
from searchspace.domains import Domain, Fixed, dump_domain

ABSENT = "-"
GENERAL = ("detector", "backbone", "head", "multibox", "compress", "kind")
"""Names in the path of a field that say nothing more in a table of choices."""

Systems = Mapping[str, Sequence[Distance]]
"""By system that a space can express, the fields that are not as published."""


def choices_table(spaces: Sequence[Space]) -> Table:
    """The choices that the papers explore, field by field, with the domain in each space."""
    table = Table(
        caption=f"{ABSENT}: not in the space. The training is distilled if a search is given a "
        "teacher (--teacher).",
        padding=(0, 1, 0, 0),
    )
    table.add_column("Choice", overflow="fold", ratio=2)
    for space in spaces:
        table.add_column(space.name, overflow="fold", ratio=1 if len(spaces) > 1 else 2)
    for choice in CHOICES:
        table.add_row(styled((choice.name, "bold")))
        found = [choice.domains(space) for space in spaces]
        for path in choice.values:
            cells = (str(domains.get(path, ABSENT)) for domains in found)
            table.add_row(f" {_short(path)}", *cells)
        table.add_section()
    return table


def choices_tree(spaces: Sequence[Space]) -> dict[str, Any]:
    """The same for JSON: choice -> space -> path -> domain."""

    def of(choice: PaperChoice, space: Space) -> dict[str, Any]:
        return _dumped(choice.domains(space).items())

    return {choice.name: {space.name: of(choice, space) for space in spaces} for choice in CHOICES}


def moved_systems(space: Space) -> Systems:
    """How each of the papers' systems that a space can express is moved to fit."""
    return {
        name: [row for row in distances(papers[name].trial, space) if row.distance]
        for name in space.papers()
    }


def systems_tree(space: Space) -> Tree:
    """The papers' systems of a space, each with the fields that are not as published."""
    root = Tree(styled((space.name, "bold"), ": the papers' systems, as published -> in the space"))
    for name, rows in moved_systems(space).items():
        count = f"{len(rows)} field{'' if len(rows) == 1 else 's'} moved"
        node = root.add(styled((name, "bold"), f"  {count}"))
        for row in rows:
            node.add(styled(str(row)))
    return root


def systems_json(space: Space) -> dict[str, Any]:
    """The same for JSON; the distance of values that cannot be compared is null."""
    return {
        name: [
            {
                "path": row.path,
                "published": dump_domain(Fixed(row.published)),
                "ours": dump_domain(Fixed(row.ours)),
                "distance": row.distance if math.isfinite(row.distance) else None,
            }
            for row in rows
        ]
        for name, rows in moved_systems(space).items()
    }


def domains_json(space: Space) -> dict[str, Any]:
    """Every path that is drawn, with its domain in the form of a space's file."""
    return _dumped(space.searched())


def _dumped(domains: Iterable[tuple[str, Domain]]) -> dict[str, Any]:
    return {path: dump_domain(domain) for path, domain in domains}


def _short(path: str) -> str:
    """A path as words, which a narrow table can wrap: `pruning slimming ratio`."""
    names = (name for name in path.split(".") if name not in GENERAL)
    return " ".join(names).replace("_", " ")
