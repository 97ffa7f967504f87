"""What code each stage of a trial depends on, and whether it is as it was when its version was set.

`python -m tests.stage_code` writes the table anew: run it when the code of a stage has changed and
its results have not, or after its number in `launch.trial.store.VERSIONS` was raised.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from launch.trial.store import VERSIONS

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("stage_code.json")
ROOMS = ("searchspace", "detectors", "compress", "launch")

TRAINING = (
    "detectors.training.train",
    "detectors.data.loader",
    "compress.slimming",
    "compress.distillation",
)
STAGES: dict[str, tuple[str, ...]] = {
    "predict": ("compress.prediction", "detectors.timing.measure"),
    "train": (*TRAINING, "launch.trial.initial_weights"),
    "prune": ("compress.pruning", "detectors.data.loader"),
    "finetune": (*TRAINING, "compress.plan", "compress.recalibration"),
    "quantise": ("compress.quantisation", "detectors.runtimes.agreement"),
    "evaluate": ("detectors.evaluate", "detectors.runtimes.deployment"),
    "rung": ("detectors.evaluate",),
    "shared": ("launch.trial.shared_weights",),
    "shared_score": ("launch.trial.shared_weights", "detectors.evaluate"),
    "measure": ("detectors.timing.measure",),
}
"""The modules that a stage calls; it depends on all that they import, too."""

LEFT_OUT = {"annotation", "returns", "type_params", "type_comment", "kind", "ctx", "lineno"}
"""Fields of the syntax tree that say nothing of what code does, or not in every Python."""


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of ours that a module imports, packages' faces among them."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (n for n in names if n.split(".")[0] in ROOMS and file_of(n))


def closure(modules: tuple[str, ...]) -> set[str]:
    """These modules, and all of ours that they import, however far down."""
    found: set[str] = set()
    left = list(modules)
    while left:
        module = left.pop()
        file = file_of(module)
        if module not in found and file is not None:
            found.add(module)
            left += imported(ast.parse(file.read_text(encoding="utf-8")))
    return found - set(ROOMS)


def normal(node: object) -> object:
    """A syntax tree as nested lists, without docstrings, annotations, imports and messages."""
    if isinstance(node, list):
        parts = [part for part in node if not _says_nothing(part)]
        return [normal(part) for part in parts]
    if isinstance(node, ast.Raise):
        return "raise"
    if isinstance(node, ast.AST):
        fields = [
            [name, normal(value)]
            for name, value in ast.iter_fields(node)
            if name not in LEFT_OUT and value not in (None, [])
        ]
        return [type(node).__name__, *fields]
    return repr(node)


def _says_nothing(node: object) -> bool:
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return alone or isinstance(node, (ast.Import, ast.ImportFrom))


def digest(source: str) -> str:
    text = json.dumps(normal(ast.parse(source)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def current() -> dict[str, Mapping[str, int | str]]:
    """The versions of all stages, and digests of the code of all modules that any depends on."""
    modules = sorted(set().union(*map(closure, STAGES.values())))
    code = {m: digest(file_of(m).read_text(encoding="utf-8")) for m in modules}
    return {"versions": {stage: VERSIONS.get(stage, 1) for stage in STAGES}, "code": code}


def main() -> None:
    TABLE.write_text(json.dumps(current(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
