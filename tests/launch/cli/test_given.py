"""Trials that commands are given by a name or in a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from detectors.data.validation import DataError
from launch.cli import main as cli
from launch.cli.given import given_trial
from launch.cli.names import find_trial
from launch.cli.options import DataPaths, RunOptions
from searchspace import TrialConfig, papers

Run = Callable[..., tuple[int, str]]

SMALL = (
    "--set", "train.epochs=1", "--set", "train.batch_size=8", "--set", "detector.width=0.125",
    "--set", "detector.input_size=64", "--set", "detector.head.priors.kind=scaled",
    "--set", "measure.runtime=eager", "--set", "measure.runs=5", "--set", "measure.passes=1",
    "--weights", "none", "--device", "cpu",
)  # fmt: skip
"""A paper's system in seconds."""


@pytest.fixture
def damaged(shapes_folder: Path, tmp_path: Path) -> Path:
    """Data with two boxes of no height, as COCO's train2017 has."""
    data = tmp_path / "damaged"
    shutil.copytree(shapes_folder, data)
    file = data / "annotations" / "instances_train.json"
    tree = json.loads(file.read_text())
    for annotation in tree["annotations"][:2]:
        annotation["bbox"][3] = 0
    file.write_text(json.dumps(tree))
    return data


def test_a_papers_system_runs_by_its_name_on_any_classes(damaged: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["trial", "ssdmnetv1_s1l6", "--data", str(damaged), "--out", str(out), *SMALL]
    runner = CliRunner()
    refused = runner.invoke(cli.app, arguments)
    assert isinstance(refused.exception, DataError)
    assert not out.exists()
    answer = runner.invoke(cli.app, [*arguments, "--skip-bad", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert len(result["dense"]["metrics"]["classes"]) == 4
    stored = TrialConfig.model_validate_json((out / "trial.json").read_text())
    assert stored == TrialConfig.model_validate(result["config"])
    assert (stored.detector.num_classes, stored.detector.width, stored.train.epochs) == (
        4,
        0.125,
        1,
    )
    assert stored.detector.backbone.eliminated_strides == (6,)
    assert "2 bad entries dropped" in answer.stderr
    assert "dropped: annotations[0] id 1, annotations[1] id 2" in answer.stderr
    assert str(out) in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (("mfsd",), 2, "neither a file nor a paper's system; the nearest one is mfssd"),
        (("mfsd@coco",), 2, "the nearest one is mfssd@coco"),
        (("folder",), 1, "folder is a folder; give a file"),
        (("mfssd", "--set", "train.epoch=1"), 2, "--set: there is no field train.epoch; the"),
        (("mfssd", "--set", "train.epochs=0"), 2, "train.epochs is 0, but must be 1 or more"),
        (("mfssd",), 2, "give --data"),
        (("mfssd", "--weights", "none", "--set", "train.weights=x", "--data", "data"), 2,
         "--weights: it replaces the weights that --set train.weights sets"),
        (("yolox_tiny_distilled", "--data", "data"), 1, "`sparrow trial yolox_s_teacher`"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_at_once(
    run: Run, tmp_path: Path, shapes_folder: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], status: int, expected: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("data").symlink_to(shapes_folder)
    code, text = run("trial", *arguments)
    assert (code, expected in text) == (status, True), text
    assert not Path("runs").exists()


def test_a_file_comes_before_a_system_and_keeps_its_classes(
    tmp_path: Path, shapes_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mfssd").write_text(papers["ssdmnetv1"].trial.model_dump_json())
    assert find_trial("mfssd") == papers["ssdmnetv1"].trial
    paths, options = DataPaths(data=shapes_folder), RunOptions(weights="none")
    from_file = given_trial("mfssd", paths, options, "runs").config
    named = given_trial("mfssd_bn", paths, options, "runs").config
    assert (from_file.detector.num_classes, named.detector.num_classes) == (80, 4)
    options = RunOptions(weights="none", settings=("detector.num_classes=7",))
    assert given_trial("mfssd", paths, options, "runs").config.detector.num_classes == 7
    given = given_trial("mfssd@coco", paths, options, "runs")
    assert given.config.detector.num_classes == 7
    assert given.folder.parent == Path("runs")
    assert given.folder.name.startswith("mfssd@coco-")


def test_a_ladder_takes_the_same_names_and_options(
    shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    result = SimpleNamespace(model_dump=lambda mode: {"ratio": 0.5})
    monkeypatch.setattr(
        "launch.cli.ladder.ladder", lambda config, *rest, **more: seen.append(config) or [result]
    )
    monkeypatch.setattr("launch.cli.ladder.ladder_control", lambda *rest, **more: None)
    answer = CliRunner().invoke(
        cli.app,
        ["ladder", "mfssd_pruned", "--ratios", "0.5", "--data", str(shapes_folder), "--json",
         "--set", "compress.pruning.target=channels", "--weights", "none",
         "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout) == {"trials": [{"ratio": 0.5}], "control": None}
    [config] = seen
    assert (config.compress.pruning.target, config.detector.num_classes) == ("channels", 4)
