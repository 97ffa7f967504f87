"""The tutorials' files and commands, run in order as a reader would, on less data."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from launch.trial.result import read_result
from tests.detectors.deployable import needs_extra

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
PROGRAMS = {"sparrow": [sys.executable, "-m", "launch.cli"], "python": [sys.executable]}

ADDRESS = "HOST:PORT"
"""Stands for that of a cluster that a test starts."""

SHAPES = {"--train-images 64 --val-images 32": "--train-images 16 --val-images 4"}

LESS = {
    "first_search": SHAPES
    | {
        "--space quick --minutes 4": "--space quick --trials 3 --device cpu",
        "--resume runs/first --trials 20": "--resume runs/first --trials 4",
        "--data shapes --minutes 4": "--data shapes --minutes 1 --trials 1 --device cpu",
    },
    "front_to_device": {
        "runs/first:3": "runs/first:0",
        "pip install numpy pillow onnxruntime\n": "",
        "python run.py image.jpg": "python device/run.py shapes/val/000001.jpg",
        "--epochs 100": "--epochs 1",
    },
    "cluster": SHAPES
    | {
        "ray start --head --num-cpus 2\nray start --address FIRST:6379\n": "",
        "--trials 8 --address auto": f"--trials 3 --device cpu --address {ADDRESS}",
        "--address auto --trials 10": f"--address {ADDRESS} --trials 4",
        "--epochs 40 --workers 2 --address auto": "--epochs 2 --workers 2 --device cpu "
        f"--address {ADDRESS}",
        "ray stop\n": "",
    },
    "own_backbone": {
        **SHAPES,
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


def follow(name: str, folder: Path, replaced: dict[str, str] | None = None) -> dict[str, str]:
    """Do what a tutorial says, from its first command to its last; gives what each command printed,
    by its second word.

    Args:
        replaced: further words of its commands.
    """
    said: dict[str, str] = {}
    for kind, code in steps(name):
        if kind != "sh":
            (folder / kind).write_text(code, encoding="utf-8")
            continue
        for old, new in (replaced or {}).items():
            code = code.replace(old, new)
        for line in code.splitlines():
            said[line.split(" ")[1]] = run(line, folder)
    return said


def test_every_tutorial_is_followed() -> None:
    assert {page.stem for page in TUTORIALS.glob("*.md")} == LESS.keys()


@pytest.mark.slow  # every command is a process of its own, and some of them train
@needs_extra
def test_a_first_search_leads_to_a_detector_on_a_device(tmp_path: Path) -> None:
    said = follow("first_search", tmp_path)
    assert (tmp_path / "runs/first/report.html").exists()
    assert (tmp_path / "runs/mine/auto.toml").exists()
    from tests.launch.cli.test_predict_video import filmed  # it needs the extra `video`

    filmed(tmp_path / "street.mp4")
    said = follow("front_to_device", tmp_path)
    assert "shapes/val/000001.jpg" in said["device/run.py"]
    assert (tmp_path / "drawn-video/street.mp4").exists()


@pytest.mark.slow
@needs_extra
@pytest.mark.xdist_group("ray")
def test_a_search_and_a_long_training_run_on_a_cluster(tmp_path: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        follow("cluster", tmp_path, {ADDRESS: cluster.address})
    finally:
        cluster.shutdown()
    result = read_result(tmp_path / "runs/long/result.json")
    assert result.workers == 2


@pytest.mark.slow
@needs_extra
def test_a_backbone_of_ones_own_is_searched_trained_and_exported(tmp_path: Path) -> None:
    said = follow("own_backbone", tmp_path)
    assert "residual" in said["space"]
    assert '"kind": "residual"' in (tmp_path / "runs/winner/trial.json").read_text()
    assert "shapes/val/000001.jpg" in said["device/run.py"]
