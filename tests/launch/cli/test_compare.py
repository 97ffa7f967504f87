"""`sparrow compare`: models on the same images, and fronts of studies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_split
from detectors.evaluate import coco_metrics
from detectors.evaluation import matches as matching
from detectors.evaluation.report import Evaluation
from detectors.evaluation.truth import Truth
from launch.report.comparison import compared_models
from tests.launch.cli.test_predict import detector_of

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def val(shapes_folder: Path) -> Dataset:
    return read_split(DataSource.from_folder(shapes_folder).val)


def perfect(split: Dataset) -> list[dict]:
    """Each object as a detection."""
    truth = Truth.of(split)
    rows = zip(truth.images, truth.categories, truth.boxes, strict=True)
    return [
        {"image_id": int(i), "category_id": int(c), "bbox": box.tolist(), "score": 0.9}
        for i, c, box in rows
    ]


def test_a_model_that_misses_one_image_differs_there_alone(val: Dataset) -> None:
    everything = perfect(val)
    image = everything[0]["image_id"]
    less = [row for row in everything if row["image_id"] != image]
    missed = len(everything) - len(less)
    compared, _ = compared_models(val, ["all", "less"], [everything, less])

    [row] = compared.disagreements
    place = next(i for i, record in enumerate(val.images) if record.id == image)
    assert (row.counts.image, row.counts.only_first, row.counts.only_second) == (place, missed, 0)
    [changes] = compared.changes
    assert changes["ap"].change == compared.metrics[1].ap - compared.metrics[0].ap < 0
    low, high = changes["ap"].low, changes["ap"].high
    assert low is not None
    assert high is not None
    assert low <= changes["ap"].change <= high


def test_a_model_does_not_differ_from_itself(val: Dataset) -> None:
    rows = perfect(val)
    compared, _ = compared_models(val, ["one", "same"], [rows, rows])
    assert compared.disagreements == ()
    assert (compared.changes[0]["ap"].low, compared.changes[0]["ap"].high) == (0, 0)
    assert not compared.changes[0]["ap"].certain


def test_matches_are_computed_once_for_each_model(
    val: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, compute = [], matching._pairs
    monkeypatch.setattr(matching, "_pairs", lambda *given: counted.append(1) or compute(*given))
    rows = perfect(val)
    evaluation = Evaluation.of(val, rows)
    assert len(counted) == 1
    compared, _ = compared_models(val, ["one", "same"], [rows, rows])
    assert len(counted) == 3
    assert evaluation.metrics == compared.metrics[0] == coco_metrics(val, rows)


def test_two_models_on_the_command_line(
    run: Run, val: Dataset, shapes_folder: Path, tmp_path: Path
) -> None:
    classes = [category.name for category in val.categories]
    one, two = (detector_of(tmp_path / name, classes) for name in ("one", "two"))
    out = tmp_path / "compared"
    code, text = run("compare", one, two, "--data", shapes_folder, "--out", out)
    assert code == 0, text
    assert "AP_small" in text
    assert "disagree on" in text
    stored = json.loads((out / "comparison.json").read_text())
    assert stored["models"] == [str(one), str(two)]
    for file in (out / "pictures").glob("*.jpg"):
        pixels = np.asarray(Image.open(file))
        assert pixels.shape[1] > 3 * min(image.width for image in val.images)


@pytest.mark.parametrize(
    ("names", "words"),
    [(("one",), "two or more"), (("one", "gone"), "no such model")],
)
def test_what_cannot_be_compared_is_refused(
    run: Run, val: Dataset, shapes_folder: Path, tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    detector_of(tmp_path / "one", [category.name for category in val.categories])
    code, text = run("compare", *(tmp_path / name for name in names), "--data", shapes_folder)
    assert code != 0
    assert words in text
