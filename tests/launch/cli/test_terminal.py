"""Names of users on the terminal and in the report: shown as they are written, never obeyed."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table
from rich.tree import Tree

from detectors.detector import Detector
from launch.cli.terminal import PlainConsole, styled
from searchspace import TrialConfig
from searchspace.reading import visible

Run = Callable[..., tuple[int, str]]

LAUNCH = Path(__file__).parents[3] / "launch"

NASTY = "[bold]x[/b] :smile: \x1b[31m\x07\r\n\u202eevil\u2066 <script>alert(1)</script>"
"""As the name of a class: markup, an emoji, escapes, a new line, other directions, HTML."""

FOLDERS = ("[bold]a[", "b] :smile:\x1b[31m\n\u202ec")
"""Folders one in the other: their path has `[/b]` in it, which closes nothing."""

CLASSES = [NASTY, "[/red]", "\u202ereversed", "plain"]

HIDDEN = ("\x1b", "\x07", "\r", "\u202e", "\u2066")


def holds(text: str) -> bool:
    """Whether nothing in a text is obeyed by a terminal."""
    return not any(character in text for character in HIDDEN)


def test_control_characters_are_spelt_and_words_are_left_alone() -> None:
    assert visible("a\x1b[31m\n\u202eb\udce9") == "a\\x1b[31m\\n\\u202eb\\udce9"
    assert visible("a\nb\tc", keep="\n") == "a\nb\\tc"
    for word in ("caf\xe9", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "[bold] :smile:"):
        assert visible(word) == word


def test_a_string_is_one_plain_line_wherever_it_is_printed() -> None:
    table = Table("column", NASTY, title=NASTY)
    table.add_row("cell", NASTY)
    tree = Tree(styled((NASTY, "bold")))
    tree.add(NASTY)
    console = PlainConsole(width=300)
    with console.capture() as capture:
        console.say(NASTY)
        console.print(table)
        console.print(tree)
    text = capture.get()
    assert holds(text)
    assert text.count("[bold]x[/b] :smile: \\x1b[31m\\x07\\r\\n\\u202eevil") == 6


def hostile(folder: Path, source: Path) -> Path:
    """A data set in a folder and with classes of hostile names."""
    data = folder.joinpath(*FOLDERS)
    shutil.copytree(source, data)
    for split in ("train", "val"):
        file = data / "annotations" / f"instances_{split}.json"
        document = json.loads(file.read_text())
        for category, name in zip(document["categories"], CLASSES, strict=True):
            category["name"] = name
        file.write_text(json.dumps(document))
    return data


@pytest.mark.slow
def test_every_command_takes_hostile_names(
    run: Run, shapes_folder: Path, space_file: Path, tiny: TrialConfig, tmp_path: Path,
) -> None:  # fmt: skip
    data, study = hostile(tmp_path, shapes_folder), tmp_path.joinpath("s", *FOLDERS)
    space = data.parent / "[bold]my[]\x1b[31m\n.toml"
    shutil.copyfile(space_file, space)
    config = data.parent / "[i]t\u202e.json"
    config.write_text(tiny.model_dump_json())
    saved = Detector(tiny.detector, CLASSES).save(data.parent / "[u]saved\x1b[0m")
    annotations = data / "annotations/instances_val.json"
    cut, short = data / "[b]cut.json", ("--device", "cpu")
    searched = ("--data", data, "--space", space, "--trials", 1, "--no-papers", "--out", study)
    for arguments in (
        ("data", "check", "--images", data / "val", "--annotations", annotations),
        ("data", "subset", "--annotations", annotations, "--classes", "plain", "--out", cut),
        ("data", "preview", "--data", data, "--count", 1, "--out", data / "[b]p.png"),
        ("space", space),
        ("describe", config),
        ("describe", saved),
        ("export", saved, "--to", "torch-export"),
        ("fps", saved, config, "--runtime", "eager", "--seconds", 0.1, *short),
        ("trial", config, "--data", data, "--out", study / "[b]trial", *short),
        ("search", *searched, "--driver", "local", *short),
        ("report", study),
    ):  # fmt: skip
        code, text = run(*arguments)
        assert code == 0, (arguments, text)
        assert holds(text), arguments
    page = (study / "report.html").read_text(encoding="utf-8")
    assert holds(page)
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    for arguments, status in (
        (("report", data), 1),
        (("describe", data / "[b]gone\x1b[2J"), 1),
        (("search", "--resume", data), 1),
        (("search", "--resume", study, "--seed", 1), 2),
        (("space", data / "[/red]\u202e"), 2),
        (("trial", data / "gone\x1b[2J", "--data", data), 1),
        (("data", "check", "--images", data, "--annotations", data / "gone\x1b[2J"), 1),
        (("data", "subset", "--annotations", annotations, "--classes", "\x1b[2J", "--out", "x"), 1),
        (("search", "--trials", NASTY), 2),
        (("search", f"--{NASTY}"), 2),
        ((NASTY,), 2),
    ):
        code, text = run(*arguments)
        assert code == status, (arguments, text)
        assert holds(text), arguments
        assert "Traceback" not in text


@pytest.mark.parametrize("file", sorted(LAUNCH.rglob("*.py")), ids=lambda file: file.name)
def test_nothing_reaches_the_terminal_but_through_the_plain_console(file: Path) -> None:
    # Tables are renderables of their own; what they show goes through `visible`.
    if file in (LAUNCH / "cli" / "terminal.py", LAUNCH / "report" / "terminal.py"):
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert list(ways_around(tree)) == []


def ways_around(tree: ast.AST) -> list[str]:
    """Code that prints by itself, or creates a console with markup."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module in ("rich.console", "rich") and names & {"Console", "print"}:
                found.append(ast.unparse(node))
            if node.module in ("rich.markup", "rich.text"):
                found.append(ast.unparse(node))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "typer.echo", "typer.secho", "sys.stdout.write", "rich.print"):
                found.append(ast.unparse(node))
            if any(k.arg in ("markup", "highlight") for k in node.keywords):
                found.append(ast.unparse(node))
    return found


def test_the_rule_sees_ways_around() -> None:
    for source in (
        "print(x)", "from rich.console import Console", "typer.echo(x)",
        "console.print(x, markup=True)", "from rich.text import Text",
    ):  # fmt: skip
        assert ways_around(ast.parse(source)), source
    assert ways_around(ast.parse("console.say(f'{x}')")) == []
