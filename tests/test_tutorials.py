"""The tutorials' files and commands, run in order as a reader would, on less data."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.detectors.deployable import needs_extra

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
PROGRAMS = {"sparrow": [sys.executable, "-m", "launch.cli"], "python": [sys.executable]}

LESS = {
    "own_backbone": {
        "--train-images 64 --val-images 32": "--train-images 16 --val-images 4",
        '"input_size": 160': '"input_size": 96',
        'kind = { choice = ["mobilenet_v1", "residual"] }': 'kind = "residual"',
        "epochs = 6": "epochs = 1\n[compress.pruning]\nkind = 'none'\n[measure]\nseconds = 0.5",
        "--minutes 10": "--trials 2 --driver local --device cpu",
        "runs/own:3 --epochs 60": "runs/own:1 --epochs 20 --device cpu",
    },
}
"""By tutorial, what is replaced so that it takes a minute."""


def steps(name: str) -> list[tuple[str, str]]:
    """Pairs of a language and a code, with what is less; a file's name takes the language's place,
    where the text before names it."""
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    for long, short in LESS[name].items():
        assert long in text, long
        text = text.replace(long, short)
    found, end = [], 0
    for block in re.finditer(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL):
        language, code = block.groups()
        named = re.findall(r"`([\w.]+\.\w+)`", text[end : block.start()])
        found.append(("sh" if language == "sh" else named[-1], code))
        end = block.end()
    return found


def run(line: str, folder: Path) -> str:
    program, *arguments = shlex.split(line, comments=True)
    ended = subprocess.run(
        [*PROGRAMS[program], *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.mark.slow  # every command is a process of its own, and two of them train
@needs_extra
@pytest.mark.parametrize("name", LESS)
def test_a_tutorial_runs_from_its_first_command_to_its_last(name: str, tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for kind, code in steps(name):
        if kind != "sh":
            (tmp_path / kind).write_text(code, encoding="utf-8")
            continue
        for line in code.splitlines():
            said[line.split(" ")[1]] = run(line, tmp_path)
    assert "residual" in said["space"]
    assert '"kind": "residual"' in (tmp_path / "runs/winner/trial.json").read_text()
    assert "shapes/val/000001.jpg" in said["device/run.py"]
