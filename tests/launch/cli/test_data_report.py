"""The health of data on the command line, before training and in reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectors.data.readers import DataSource
from launch.report.page import About, page
from launch.report.study import StudyView
from launch.study.settings import settings_of
from launch.trial.data import TrialData, TrialError, dropped_in_words
from launch.trial.health import health_of_space, health_of_trials
from searchspace import Space, TrialConfig
from searchspace.domains import IntRange
from tests.launch.conftest import Run
from tests.launch.report.studies import record


def write_split(folder: Path, name: str, images: list[list[list[float]]], first: int) -> None:
    """Textured images of 96x72 with the boxes (x, y, width, height) of each, of one class."""
    (folder / name).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    annotations, entries = [], []
    for k, boxes in enumerate(images):
        coarse = np.random.default_rng(first + k).integers(0, 255, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((96, 72)).save(folder / name / f"{k}.png")
        entries.append({"id": k, "file_name": f"{k}.png", "width": 96, "height": 72})
        for box in boxes:
            area = {"id": len(annotations) + 1, "area": box[2] * box[3]}
            annotations.append({**area, "image_id": k, "category_id": 1, "bbox": box})
    document = {
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "<b>olt"}],
    }
    (folder / "annotations" / f"instances_{name}.json").write_text(json.dumps(document))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten training images, of which two have an object and one is a validation image, too."""
    boxes = [[[5, 5, 20, 12], [40, 30, 3, 2]], [[50, 20, 9, 30]]]
    write_split(tmp_path / "odd", "train", [*boxes, *[[]] * 8], first=0)
    write_split(tmp_path / "odd", "val", boxes, first=100)
    shutil.copy(tmp_path / "odd/val/1.png", tmp_path / "odd/train/9.png")
    return tmp_path / "odd"


def test_the_page_shows_what_is_odd(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "health.html"
    code, text = run("data", "report", folder, "--input-size", 64, "--out", out)
    assert code == 0, text
    for words in (
        "training: 10 images (8 without an object), 3 objects (3 small)",
        "at an input of 64: shorter side",
        "warning: 1 of 2 validation images are in the training data, too (the same files)",
        "warning: 8 of 10 training images have no object",
        "warning: 1 of 3 training objects are below 2 px at an input of 64 (median",
        f"Report: {out}",
    ):
        assert words in text
    html = out.read_text(encoding="utf-8")
    # Pictures of the leak, and of the smallest object of both images.
    assert html.count('src="data:image/jpeg;base64,') == 4
    assert "&#39;&lt;b&gt;olt&#39;, 3\N{MULTIPLICATION SIGN}2 px, in &#39;0.png&#39;" in html
    assert "<b>olt" not in html


def test_figures_are_printed_as_json_at_the_sizes_of_a_space(
    run: Run, shapes_folder: Path, space_file: Path, tmp_path: Path
) -> None:
    options = ("--space", space_file, "--out", tmp_path / "page.html", "--json")
    code, text = run("data", "report", shapes_folder, *options)
    assert code == 0, text
    figures = json.loads(text)
    assert [at["input_size"] for at in figures["inputs"]] == [64, 96]
    assert figures["train"]["images"] == 16
    assert 0 < figures["fit"]["mean"] < figures["fit"]["proposed"] < 1
    assert figures["odd"] == []


def test_a_space_has_its_own_input_sizes(run: Run, shapes_folder: Path, tmp_path: Path) -> None:
    code, text = run(
        "data", "report", shapes_folder, "--space", "quick", "--input-size", 64,
        "--out", tmp_path / "x",
    )  # fmt: skip
    assert code == 2
    assert "give one of the two" in text
    assert not (tmp_path / "x").exists()


def test_checking_warns(run: Run, folder: Path) -> None:
    code, text = run("data", "check", "--data", folder)
    assert code == 0, text
    assert "8 images without an object, 2 objects on one at most" in text
    assert "warning: 8 of 10 training images have no object" in text
    assert "--drop-leaks leaves 1 training image out" in text
    file = folder / "annotations" / "instances_train.json"
    code, text = run("data", "check", "--images", folder / "train", "--annotations", file)
    assert code == 0, text
    assert "warning: 8 of 10 given images have no object" in text


def test_leaks_are_dropped_and_make_other_data(folder: Path) -> None:
    source = DataSource.from_folder(folder)
    whole, left = TrialData.read(source), TrialData.read(source, drop_leaks=True)
    assert (len(whole.train.images), len(left.train.images), left.leaks) == (10, 9, 1)
    assert left.val.fingerprint == whole.val.fingerprint
    assert left.train.fingerprint != whole.train.fingerprint
    assert dropped_in_words(whole) == ()
    assert dropped_in_words(left) == (
        "training data: images left out as they are validation images, too: 1",
    )
    shutil.rmtree(folder / "train")
    shutil.copytree(folder / "val", folder / "train")
    shutil.copy(
        folder / "annotations/instances_val.json", folder / "annotations/instances_train.json"
    )
    with pytest.raises(TrialError, match="all 2 training images are validation images, too"):
        TrialData.read(source, drop_leaks=True)


def test_a_study_keeps_the_health_and_its_report_warns(
    folder: Path, space: Space, tiny: TrialConfig
) -> None:
    source = DataSource.from_folder(folder)
    data = TrialData.read(source)
    health = health_of_space(data, space)
    assert [at.input_size for at in health.inputs] == [64, 96]
    assert [at.input_size for at in health_of_trials(data, [tiny]).inputs] == [64]
    ranged = Space(space.name, {**space.domains, "detector.input_size": IntRange(64, 128, 32)})
    assert [at.input_size for at in health_of_space(data, ranged).inputs] == [64, 128]
    settings = settings_of(
        space=space.dump(), train=source.train, val=source.val, fingerprint="", health=health
    )
    again = type(settings).model_validate_json(settings.model_dump_json())
    assert again.health == health
    view = StudyView.of([record(0, 0.1)])
    html = page(view, folder, "title", {}, About(health=health))
    assert html.count("1 of 2 validation images are in the training data, too") == 3
    assert "training: 10 images (8 without an object)" in html
    assert "validation images are in" not in page(view, folder, "title", {})
