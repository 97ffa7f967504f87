"""`sparrow eval`: the figures of a trial, thresholds that prediction uses, a page."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detectors.data.readers import DataSource
from detectors.data.reading import read_split
from detectors.detector import Detector
from detectors.evaluate import evaluate
from detectors.models import load_model
from detectors.runtimes.export import export
from tests.detectors.deployable import needs_extra
from tests.launch.cli.test_predict import detector_of

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def saved(tmp_path: Path, shapes_folder: Path) -> Path:
    classes = [c.name for c in read_split(DataSource.from_folder(shapes_folder).val).categories]
    return detector_of(tmp_path / "detector", classes)


def test_figures_files_and_thresholds(
    run: Run, saved: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep/evaluation"
    code, text = run("eval", saved, "--data", shapes_folder, "--out", out)
    assert code == 0, text
    for words in ("AP_small", "localisation", "Gain in AP50", "95 % interval", "thresholds.json"):
        assert words in text
    stored = json.loads((out / "evaluation.json").read_text())
    val = read_split(DataSource.from_folder(shapes_folder).val)
    metrics = evaluate(Detector.load(saved), val, torch.device("cpu"))
    assert stored["metrics"] == json.loads(metrics.model_dump_json())
    assert stored["errors"]["ap50"] == pytest.approx(metrics.ap50)
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert len(rows) == 101 * val.num_classes
    page = (out / "evaluation.html").read_text()
    assert page.count("<polyline") == 2 * val.num_classes
    assert all(f"{category.name}: precision" in page for category in val.categories)
    chosen = load_model(saved).thresholds
    assert chosen is not None
    assert chosen.model_dump(mode="json") == stored["thresholds"]


@needs_extra
def test_an_exported_file_has_the_same_figures(
    run: Run, saved: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    file = export(Detector.load(saved), "onnx", tmp_path / "x")
    found = {}
    for model in (saved, file):
        code, text = run("eval", model, "--data", shapes_folder, "--precision", 1, "--json")
        assert code == 0, text
        found[model] = json.loads(text)
    assert found[file]["form"] == "onnxruntime float32"
    assert (tmp_path / "x.thresholds.json").exists()
    for name in ("ap", "ap50", "ar", "voc_map"):
        assert found[file]["metrics"][name] == pytest.approx(
            found[saved]["metrics"][name], abs=0.01
        )
    chosen = found[saved]["thresholds"]
    assert (chosen["rule"], chosen["least_precision"]) == ("precision", 1)


def test_annotated_images_that_are_no_validation_split_leave_no_thresholds(
    run: Run, saved: Path, shapes_folder: Path
) -> None:
    files = ("--images", shapes_folder / "val")
    annotations = shapes_folder / "annotations/instances_val.json"
    code, text = run("eval", saved, *files, "--annotations", annotations)
    assert code == 0, text
    assert not (saved / "thresholds.json").exists()
    code, text = run("eval", saved, *files)
    assert code == 2
    assert "give both --images and --annotations" in text
