"""The output of `sparrow space`, and the table in docs/spaces.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rich.console import Console
from rich.tree import Tree

from launch.cli.space import space_row, space_tree, spaces_table
from launch.cli.space_views import choices_table
from searchspace import TrialConfig, load_space, space_names
from searchspace.choices import CHOICES
from searchspace.walk import parse_domain
from tests.launch.conftest import Run

SPACES = Path(__file__).parents[3] / "docs" / "spaces.md"


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
    text = printed(spaces_table(map(load_space, space_names())), width=80)
    assert re.search(r"quick .* 9 .* 1 .* 1 .* 1,152 .* 6 ", text)
    for name in space_names():
        assert name in text


def test_the_readme_has_the_sizes_of_spaces() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d]+) \| ([\d.e+,]+) \|$", SPACES.read_text(), re.M)
    found = {name: (parameters, size) for name, parameters, size in rows}
    assert set(found) == set(space_names())
    for name in space_names():
        parameters, _, _, size, _ = space_row(load_space(name))
        assert found[name] == (parameters, size)


def test_the_table_of_choices_has_each_choice_and_space() -> None:
    spaces = list(map(load_space, space_names()))
    text = printed(choices_table(spaces), width=320)
    for choice in CHOICES:
        assert choice.name in text
    [row] = [line for line in text.splitlines() if "train small objects weight" in line]
    cells = [cell.strip() for cell in row.split("│")[2:-1]]
    assert dict(zip(space_names(), cells, strict=True)) == {
        "anchor_free": "0.5..4 log",
        "full": "0.5..4 log",
        "mobile": "0.5..4 log",
        "papers": "0.5..4 log",
        "quick": "{0.95, 1.0, 2.0}",
        "tiles": "0.5..4 log",
    }
    assert max(map(len, printed(choices_table(spaces), width=80).splitlines())) <= 80


def test_choices_as_json_are_those_of_a_spaces_file(run: Run) -> None:
    status, out = run("space", "mobile", "--choices", "--json")
    found = json.loads(out)
    assert status == 0
    assert len(found) == 8
    assert found["pruning ratio"]["mobile"] == {
        "compress.pruning.kind": {"choice": ["none", "slimming", "importance"]},
        "compress.pruning.slimming.ratio": {"low": 0.1, "high": 0.7, "log": False},
        "compress.pruning.importance.ratio": {"low": 0.1, "high": 0.7, "log": False},
    }


def test_spaces_as_json(run: Run) -> None:
    every = json.loads(run("space", "--json")[1])
    assert [facts["name"] for facts in every] == space_names()
    one = json.loads(run("space", "quick", "--json")[1])
    [quick] = [facts for facts in every if facts["name"] == "quick"]
    assert one == {**quick, "domains": one["domains"]}
    assert one["configurations"] == 1152
    searched = dict(load_space("quick").searched())
    parsed = {p: parse_domain(TrialConfig, p, spec) for p, spec in one["domains"].items()}
    assert parsed == searched


def test_what_is_moved_of_each_system(run: Run) -> None:
    status, out = run("space", "mobile", "--papers")
    assert status == 0
    assert "ssdmnetv1_s1l6  6 fields moved" in out
    assert "detector.head.multibox.priors.kind: listed -> levelled" in out
    rows = json.loads(run("space", "quick", "--papers", "--json")[1])["ssdmnetv1_s1l6"]
    by_path = {row.pop("path"): row for row in rows}
    assert by_path["train.epochs"] == {"published": 100, "ours": 4, "distance": 96}
    kind = by_path["detector.head.multibox.priors.kind"]
    assert kind == {"published": "listed", "ours": "scaled", "distance": None}
    # Eliminated strides are as published.
    assert "detector.backbone.mobilenet_v1.eliminated_strides" not in by_path


def test_what_does_not_go_together_is_wrong_usage(run: Run) -> None:
    status, out = run("space", "--papers")
    assert (status, "name a space" in out) == (2, True)
    status, out = run("space", "quick", "--papers", "--choices")
    assert (status, "give one of them" in out) == (2, True)
