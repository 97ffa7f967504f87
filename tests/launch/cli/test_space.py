"""The output of `sparrow space`, and the table in the README."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.tree import Tree

from launch.cli.space import space_row, space_tree, spaces_table
from searchspace import load_space, space_names

README = Path(__file__).parents[3] / "README.md"


def printed(what: object, width: int = 160) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def leaves(tree: Tree) -> int:
    return sum(map(leaves, tree.children)) or 1


def test_a_tree_has_every_path_once_and_says_what_is_conditional() -> None:
    for name in space_names():
        space = load_space(name)
        assert leaves(space_tree(space)) == len(list(space.searched()))
    text = printed(space_tree(load_space("papers")))
    assert "how\n" in text
    for kind in ("fused", "concat", "emphasis", "levelled", "slimming"):
        assert re.search(rf"─ {kind}  if kind is {kind}\n", text)
    fixed = printed(space_tree(load_space("mobile")))
    assert re.search(r"─ mobilenet_v1\n", fixed)


def test_the_table_has_every_space_that_ships() -> None:
    text = printed(spaces_table(), width=80)
    assert re.search(r"quick .* 9 .* 1 .* 1 .* 1,152 .* 6 ", text)
    for name in space_names():
        assert name in text


def test_the_readme_has_the_sizes_of_spaces() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d]+) \| ([\d.e+,]+) \|$", README.read_text(), re.M)
    found = {name: (parameters, size) for name, parameters, size in rows}
    assert set(found) == set(space_names())
    for name in space_names():
        parameters, _, _, size, _ = space_row(load_space(name))
        assert found[name] == (parameters, size)
