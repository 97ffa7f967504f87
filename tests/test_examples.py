"""The examples run, on tiny data."""

from __future__ import annotations

import csv
import io
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectors import Detector
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.runtimes.export import export
from launch import figures, search
from launch.decisions.rules import RULES
from launch.figures import FIGURES
from launch.study.opening import read_records
from launch.study.samplers import SAMPLERS
from launch.study.settings import read_settings
from searchspace import load_space, plugins
from searchspace.priors import PRIOR_RULES
from tests.detectors.deployable import deployable
from tests.launch.conftest import impatient, one_thread

__all__ = ["impatient", "one_thread"]

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY = """
[detector]
input_size = 64
num_classes = 4
width = 0.25
[detector.backbone.mobilenet_v1]
eliminated_strides = { choice = [[], [6]] }
[train]
epochs = 1
batch_size = 4
[compress.pruning]
kind = "none"
[measure]
runtime = "eager"
runs = 5
passes = 1
"""
OWN_PRIORS = """
[detector.head.multibox.priors]
kind = "pixels"
"""


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file


@pytest.fixture
def unloaded() -> Iterator[None]:
    """What plugins register is gone after the test."""
    rules, loaded, path = dict(PRIOR_RULES._members), dict(plugins._loaded), [*sys.path]
    known, samplers, stopping = set(FIGURES), dict(SAMPLERS), dict(RULES._members)
    yield
    PRIOR_RULES._members, PRIOR_RULES._adapter = rules, None
    RULES._members, RULES._adapter = stopping, None
    plugins._loaded, sys.path[:] = loaded, path
    for name in FIGURES.keys() - known:
        del FIGURES[name], figures._computed[name]
    for name in SAMPLERS.keys() - samplers.keys():
        del SAMPLERS[name]
    for name in ("own_choice", "own_objective", "own_sampler", "own_rule"):
        sys.modules.pop(name, None)


@pytest.mark.slow  # a search of its own; the next one covers the rest
def test_own_data(tmp_path: Path, tiny: Path) -> None:
    folder = generate_shapes(tmp_path / "shapes", ShapesConfig(12, 1, 64))
    tree = json.loads((folder / "annotations" / "instances_train.json").read_text())
    files = {image["id"]: image["file_name"] for image in tree["images"]}
    names = {category["id"]: category["name"] for category in tree["categories"]}
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "x", "y", "width", "height", "class"))
        for one in tree["annotations"]:
            writer.writerow((files[one["image_id"]], *one["bbox"], names[one["category_id"]]))
    main = example("own_data")["main"]
    options = {"trials": 1, "driver": "local", "objectives": ("ap", "fps")}
    front = main(folder / "train", tmp_path / "boxes.csv", tmp_path / "run", tiny, **options)
    assert len(front.members) == 1


@pytest.mark.usefixtures("unloaded")
def test_own_choice_objective_sampler_and_rule(tmp_path: Path, tiny: Path) -> None:
    data = generate_shapes(tmp_path / "shapes", ShapesConfig(8, 4, 128))
    own = [EXAMPLES / f"own_{name}.py" for name in ("choice", "objective", "sampler", "rule")]
    plugins.load_plugins(own)
    shown = load_space(EXAMPLES / "own_choice.toml")
    assert "detector.head.multibox.priors.pixels.smallest" in dict(shown.searched())
    # A rule compares trials after the warm-up and before the last epoch.
    longer = TINY.replace("epochs = 1", "epochs = 2\nwarmup_epochs = 0.5")
    tiny.write_text(longer + OWN_PRIORS)
    front = search(
        tiny, data, tmp_path / "run", plugins=own, objectives=("found_small", "fps"),
        sampler="evolution", early_stopping="far_below", trials=1, papers=False, driver="local",
    )  # fmt: skip
    [member] = front.members
    assert member.figures.found_small is not None
    assert member.config.detector.head.priors.kind == "pixels"
    [record] = read_records(tmp_path / "run")
    assert list(record.midway) == [1]
    rule = read_settings(tmp_path / "run").early_stopping
    assert rule == RULES.by_kind["far_below"](budgets=(1,))
    rung = {0: (0.4, 3.0), 1: (0.1, 9.0), 2: (0.3, 1.0)}
    assert [rule.survives(rung, trial) for trial in rung] == [True, False, True]
    assert rule.survives({0: (0.4, 3.0), 1: (0.1, 9.0)}, 1)


def test_own_trainer(tmp_path: Path, tiny: Path) -> None:
    main = example("own_trainer")["main"]
    front = main(tmp_path / "run", tiny, trials=2, steps=1)
    assert front.trials["finished"] == 2
    assert isinstance(front.members[0].load(), Detector)
    assert main(tmp_path / "run").members[0].number == front.members[0].number


def test_the_winner_behind_http(tmp_path: Path) -> None:
    testing = pytest.importorskip("fastapi.testclient", reason="needs the extra `examples`")
    pytest.importorskip("onnxruntime", reason="needs the extra `deploy`")
    file = export(deployable("ssdmnetv1"), "onnx", tmp_path / "detector.onnx")
    client = testing.TestClient(example("serve")["serve"](str(file)))
    picture = io.BytesIO()
    Image.fromarray(np.zeros((48, 90, 3), np.uint8)).save(picture, "png")
    answer = client.post("/detect", params={"threshold": 0.0}, content=picture.getvalue())
    assert answer.status_code == 200
    assert answer.json()
    assert set(answer.json()[0]) == {"class", "score", "box"}
