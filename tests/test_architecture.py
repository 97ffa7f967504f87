"""Who may import whom, and what may be read from disk how; held for every file there is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("searchspace", "detectors", "compress", "launch")
"""Each room may import itself and those before it."""

FILES = [
    str(file.relative_to(ROOT)) for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))
]
UNPICKLING_ERROR = "pickle.UnpicklingError"
"""What `torch.load` raises for a file that holds more than tensors; it unpickles nothing."""

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every module that is imported, however deep in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def unsafe_loads(tree: ast.Module) -> list[int]:
    """Lines of `torch.load` without a literal `weights_only=True`."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "torch.load"
        and not any(
            k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords
        )
    ]


def forbidden(file: str, tree: ast.Module) -> list[str]:
    """The imports of a file that point up, or unpickle."""
    own = ROOMS.index(Path(file).parts[0])
    above, found = set(ROOMS[own + 1 :]), list(imported(tree))
    errors = {(line, name) for line, name in found if name == UNPICKLING_ERROR}
    errors |= {(line, "pickle") for line, _ in errors}
    return [
        f"{file}:{line}: {name}"
        for line, name in found
        if name.split(".")[0] in above | PICKLES or name in ("torch.load", "ray.cloudpickle")
        if (line, name) not in errors
    ]


def test_every_room_has_files() -> None:
    assert {Path(file).parts[0] for file in FILES} == set(ROOMS)


@pytest.mark.parametrize("file", FILES)
def test_imports_point_down_and_nothing_is_pickled(file: str) -> None:
    tree = parsed(file)
    assert forbidden(file, tree) == []
    assert unsafe_loads(tree) == []


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        (
            "searchspace/x.py",
            "import detectors.train",
            ["searchspace/x.py:1: detectors.train"],
        ),
        ("searchspace/x.py", "def f():\n    from detectors import train", 2),
        ("detectors/x.py", "from compress.pruning import prune", 2),
        ("detectors/x.py", "from searchspace import papers", 0),
        ("launch/x.py", "import compress, detectors, searchspace", 0),
        ("launch/x.py", "import pickle", 1),
        ("launch/x.py", "from torch import load", 1),
    ],
)
def test_the_rule_sees_what_it_should(file: str, source: str, found: list[str] | int) -> None:
    result = forbidden(file, ast.parse(source))
    assert result == found if isinstance(found, list) else len(result) == found


def test_the_rule_sees_unsafe_loads() -> None:
    source = "torch.load(p)\ntorch.load(p, weights_only=False)\ntorch.load(p, weights_only=True)"
    assert unsafe_loads(ast.parse(source)) == [1, 2]


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("searchspace")])
def test_searchspace_needs_pydantic_and_the_standard_library_alone(file: str) -> None:
    allowed = sys.stdlib_module_names | {"pydantic", "pydantic_core", "searchspace"}
    assert [name for _, name in imported(parsed(file)) if name.split(".")[0] not in allowed] == []


def loaded_with(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


LAUNCH = (
    "cli", "searches", ("drivers", "report"), "study", "decisions", "records", "trial",
    ("constraints", "figures", "pareto", "files"),
)  # fmt: skip
"""The rooms of `launch`, top first: each may import itself and those after it; rooms of one floor
import each other as far as that makes no circle."""

FLOORS = {
    room: floor
    for floor, rooms in enumerate(LAUNCH)
    for room in ((rooms,) if isinstance(rooms, str) else rooms)
}
MODULES = {
    ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES
}


def modules_imported(module: str) -> set[str]:
    """Those of our modules that a module imports anywhere, for type checking alone included.

    A package is among them where something of its face is imported, not for a module in it.
    """
    names = {name for _, name in imported(parsed(MODULES[module])) if name in MODULES}
    return names - {name.rpartition(".")[0] for name in names} - {module}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of names of which each leads to itself."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("launch.")])
def test_rooms_of_launch_import_those_below(module: str) -> None:
    own = FLOORS[module.split(".")[1]]
    used = {name.split(".")[1] for name in modules_imported(module) if name.startswith("launch.")}
    assert {room for room in used if FLOORS[room] < own} == set()


def test_no_module_leads_back_to_itself() -> None:
    assert circles({module: modules_imported(module) for module in MODULES}) == []


def test_no_folder_leads_back_to_itself() -> None:
    def folder(module: str) -> str:
        return str(Path(MODULES[module]).parent)

    arrows: dict[str, set[str]] = {}
    for module in MODULES:
        if module in ROOMS:  # The face of a room imports all of it.
            continue
        others = {folder(name) for name in modules_imported(module)} - {folder(module), *ROOMS}
        arrows.setdefault(folder(module), set()).update(others)
    arrows = {name: targets for name, targets in arrows.items() if name not in ROOMS}
    assert circles(arrows) == []


def test_launch_has_few_rooms() -> None:
    entries = [path.name for path in (ROOT / "launch").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 15, sorted(entries)


def test_importing_searchspace_loads_no_heavy_library() -> None:
    loaded = loaded_with("import searchspace")
    assert "searchspace" in loaded
    assert loaded & {"torch", "ray", "optuna", "numpy"} == set()


def test_a_single_trial_loads_neither_ray_nor_optuna() -> None:
    loaded = loaded_with("import compress, launch.trial.run, detectors.timing.measure")
    assert "torch" in loaded
    assert loaded & {"ray", "optuna"} == set()


def test_timm_is_loaded_only_where_its_weights_are_asked_for() -> None:
    # Of the rooms above, torch_pruning loads it by itself.
    loaded = loaded_with("import detectors, detectors.weights.imagenet")
    assert "torchvision" in loaded
    assert "timm" not in loaded


HEAVY = {"torch", "ray", "optuna", "plotly", "pandas", "timm", "jinja2", "numpy", "scipy"}


@pytest.mark.parametrize(
    "statement",
    [
        "import launch",
        "from launch.cli.main import main; import sys; sys.argv = ['sparrow', '--help']\n"
        "try: main()\nexcept SystemExit: pass",
        "from launch.cli.main import main; import sys; sys.argv = ['sparrow', 'data', '--help']\n"
        "try: main()\nexcept SystemExit: pass",
        "from launch.cli.main import main; import sys; sys.argv = ['sparrow', 'search', '--help']\n"
        "try: main()\nexcept SystemExit: pass",
    ],
    ids=["import launch", "sparrow --help", "sparrow data --help", "sparrow search --help"],
)
def test_help_and_the_face_of_launch_load_no_heavy_library(statement: str) -> None:
    loaded = loaded_with(statement)
    assert "launch" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("driver", ["launch.drivers.attempt", "launch.drivers.ray_tune"])
def test_workers_load_nothing_that_only_reports_need(driver: str) -> None:
    loaded = loaded_with(f"import {driver}")
    assert "torch" in loaded
    assert loaded & {"plotly", "jinja2", "typer"} == set()


MOST_LINES, MOST_PARAMETERS = 60, 8
TAKES_MANY = {
    "launch/searches/__init__.py:search", "launch/trial/run.py:run_trial",
}  # fmt: skip
"""Entry points whose parameters are given by name."""


def functions(file: str) -> Iterator[tuple[str, int, int]]:
    """Name, lines and number of parameters (without `self`) of every function of a file."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names += [a.arg for a in (given.vararg, given.kwarg) if a]
            number = len([name for name in names if name not in ("self", "cls")])
            yield f"{file}:{node.name}", _lines(node), number


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without those of its docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    return lines - (first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0)


@pytest.mark.parametrize("file", FILES)
def test_functions_are_short_and_take_few_parameters(file: str) -> None:
    found = list(functions(file))
    assert [name for name, lines, _ in found if lines > MOST_LINES] == []
    many = {name for name, _, number in found if number > MOST_PARAMETERS}
    assert many <= TAKES_MANY


def unquoted_commands(tree: ast.Module) -> Iterator[int]:
    """Lines with a command for a shell into which a name or path is put as it is."""
    for text in ast.walk(tree):
        if isinstance(text, ast.JoinedStr):
            for before, value in pairwise(text.values):
                if isinstance(before, ast.Constant) and isinstance(value, ast.FormattedValue):
                    begun = re.search(r"\bsparrow [a-z]+( [\w-]+)* $", str(before.value))
                    is_made = isinstance(value.value, ast.Call | ast.Constant)
                    if begun and not is_made:
                        yield value.lineno


@pytest.mark.parametrize("file", FILES)
def test_commands_that_are_shown_can_be_copied(file: str) -> None:
    """`searchspace.words.command` quotes paths with spaces."""
    assert not list(unquoted_commands(parsed(file)))
    assert list(unquoted_commands(ast.parse('f"go on with: sparrow train --resume {folder}"')))
