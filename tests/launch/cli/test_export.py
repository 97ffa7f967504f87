"""`sparrow export` as a user types it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectors.detector import Detector
from detectors.models import load_model
from detectors.runtimes.libraries import library
from detectors.runtimes.metadata import class_names
from detectors.runtimes.onnx_graph import DETECTIONS, INPUT
from detectors.thresholds import Threshold, Thresholds, write_thresholds
from launch.cli.calibration import Pictures
from launch.cli.export import thresholds_of
from searchspace import load_space
from searchspace.tiles import TileGrid
from tests.detectors.deployable import attentive, deployable, images_for, needs_extra

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployable("ssdmnetv1").save(tmp_path_factory.mktemp("saved") / "compact")


@needs_extra
def test_a_saved_detector_is_exported_beside_itself(run: Run, saved: Path) -> None:
    code, text = run("export", saved, "--to", "onnx")
    assert code == 0
    assert f"{saved / 'detector.onnx'}: images [N, 3, 64, 64] in 0..1 -> boxes [N, 100, 4]" in text
    session = library("onnxruntime").InferenceSession(saved / "detector.onnx")
    said = session.get_modelmeta().custom_metadata_map
    assert (said["resize"], json.loads(said["input_size"])) == ("stretch", [64, 64])
    assert json.loads(said["classes"]) == [
        str(number) for number in range(1, 1 + Detector.load(saved).config.num_classes)
    ]
    images = images_for(Detector.load(saved), 3)
    scores = session.run(list(DETECTIONS), {INPUT: images.numpy()})[1]
    with torch.no_grad():
        expected = Detector.load(saved).detect(images).scores
    torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-3, rtol=0)


@needs_extra
def test_tiles_go_into_a_file_for_images_of_one_size(
    run: Run, saved: Path, seeing: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    plain = Detector.load(seeing)
    few = plain.config.head.postprocess.changed(detections=20)
    head = plain.config.head.changed(postprocess=few)
    detector = Detector(plain.config.changed(head=head, tiles=TileGrid(rows=1, columns=2)))
    detector.load_state_dict(plain.state_dict())
    path, images = detector.save(tmp_path / "compact"), shapes_folder / "val"
    given = ("export", path, "--to", "onnx", "--image-size", "150x110")
    code, text = run(*given, "--images", images)
    assert code == 0, text
    assert "images [1, 3, 110, 150] in 0..1 -> boxes [1, 20, 4]" in text
    assert "The model cuts an image itself: 1\u00d72 tiles" in (path / "README.md").read_text()
    model = load_model(path / "detector.onnx")
    assert (model.canvas.size, model.canvas.tiles) == ((110, 150), None)
    for more, message in (
        (("--batch", 2), "one image at a time"),
        (("--raw",), "a file has NMS"),
        (("--image-size", "150"), "--image-size"),
    ):
        code, text = run(*given, *more)
        assert (code, message in text) == (2, True)
    code, text = run("export", saved, "--to", "onnx", "--image-size", "150x110")
    assert (code, "does not cut images into tiles" in text) == (1, True)


@pytest.fixture(scope="module")
def seeing(shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that finds other things in other images."""
    config = load_space("quick").baseline().detector.changed(input_size=96)
    images = Pictures.read(shapes_folder / "train", config.input_size).images
    return attentive(config, images).save(tmp_path_factory.mktemp("seeing") / "compact")


@needs_extra
def test_int8_says_what_it_was_calibrated_on_and_what_it_finds(
    run: Run, seeing: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    train, out = shapes_folder / "train", tmp_path / "new" / "small.onnx"
    arguments = ("export", seeing, "--to", "onnx", "--precision", "int8", "--out", out)
    code, text = run(*arguments, "--images", train)
    assert (code, out.exists()) == (0, True), text
    assert f"int8: calibrated on 16 images of {train}\n" in text
    (line,) = re.findall(rf"int8 on 16 images of {train}: (.*)", text)
    assert re.fullmatch(
        r"[1-9]\d* detections before, [1-9]\d* after, [1-9]\d* matched \(9\d %\), "
        r"at scores of 0.3 or more in 16 images",
        line,
    )
    code, text = run(*arguments, "--images", tmp_path / "new")
    assert code == 1
    assert "no images to calibrate int8 on" in text


@needs_extra
@pytest.mark.parametrize("target", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_int8_that_finds_other_things_is_refused_unless_forced(
    run: Run, seeing: Path, shapes_folder: Path, tmp_path: Path, target: str
) -> None:
    dark, val, out = tmp_path / "dark", shapes_folder / "val", tmp_path / "out" / "x"
    dark.mkdir()
    noise = np.random.default_rng(0).integers(0, 21, (8, 96, 96, 3)).astype(np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(dark / f"{number}.png")
    arguments = (
        "export", seeing, "--to", target, "--precision", "int8", "--out", out,
        "--images", dark, "--val-images", val,
    )  # fmt: skip
    code, text = run(*arguments)
    assert code == 1
    assert f"int8: calibrated on 8 images of {dark}" in text
    assert re.search(rf"int8 on 8 images of {val}: \d+ detections before", text)
    assert re.search(rf"{val}: int8 agrees with \d\d % of the detections of float32", text)
    assert "Nothing was written" in text
    assert "--force" in text
    assert not out.parent.exists()
    code, text = run(*arguments, "--force")
    assert code == 0
    assert {file.name for file in out.parent.iterdir()} == {
        *(("x.xml", "x.bin") if target == "openvino" else ("x.onnx",)),
        "README.md",
        "run.py",
    }


@needs_extra
def test_images_of_one_colour_are_refused(run: Run, saved: Path, tmp_path: Path) -> None:
    Image.new("RGB", (128, 96)).save(tmp_path / "a.png")
    arguments = ("export", saved, "--to", "onnx", "--precision", "int8", "--images", tmp_path)
    code, text = run(*arguments, "--out", tmp_path / "x")
    assert code == 1
    assert "none of 1 image is suitable: 1 of a single colour" in text
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "tflite"), "target 'tflite': choose from onnx, torch-export, openvino"),
        (("--to", "torch-export", "--precision", "int8"), "torch-export has float32"),
        (
            ("--to", "onnx", "--precision", "int8"),
            "int8 needs --images, a folder of training images",
        ),
        (("--to", "onnx", "--val-images", "x"), "--val-images: it goes with --images only"),
        (("--to", "onnx", "--data", "x", "--images", "y"), "--data: give either it or folders"),
        (("--to", "onnx", "--max-drop", "0.01"), "--max-drop: it goes with --precision int8 only"),
        (("--to", "executorch", "--batch", "1"), "executorch has no NMS: add --raw"),
        (("--to", "executorch", "--raw"), "takes a fixed number of images only: add --batch 1"),
    ],
)
def test_what_cannot_be_exported_is_said(
    run: Run, saved: Path, options: tuple[str, ...], message: str
) -> None:
    code, text = run("export", saved, *options)
    assert code == 2
    assert message in text


def test_thresholds_of_a_trials_other_form_serve_where_it_has_none_of_its_own(
    tmp_path: Path,
) -> None:
    detector = deployable("ssdmnetv1")
    path, int8 = detector.save(tmp_path / "compact"), tmp_path / "int8"
    int8.mkdir()

    def chosen(score: float) -> Thresholds:
        names = class_names(detector.classes, detector.num_classes)
        return Thresholds(rule="f1", images=1, classes={n: Threshold(score=score) for n in names})

    write_thresholds(int8, chosen(0.2))
    assert thresholds_of(path, detector, "float32") is None  # no trial: a folder that lies there
    (tmp_path / "trial.json").touch()
    assert thresholds_of(path, detector, "float32") == chosen(0.2)
    write_thresholds(path, chosen(0.3))
    assert thresholds_of(path, detector, "float32") == chosen(0.3)
    assert thresholds_of(path, detector, "int8") == chosen(0.2)


def test_an_unknown_kind_names_plugins_and_no_other_fix(run: Run, tmp_path: Path) -> None:
    saved = deployable("ssdmnetv1").save(tmp_path)
    file = saved / "detector.json"
    facts = json.loads(file.read_text())
    facts["detector"]["backbone"]["kind"] = "quokka"
    file.write_text(json.dumps(facts))
    code, text = run("export", saved, "--to", "onnx")
    assert code == 1
    assert text.strip().endswith("(--plugin, or searchspace.load_plugins in Python)")


def test_a_folder_without_a_detector_is_named(run: Run, tmp_path: Path) -> None:
    code, text = run("export", tmp_path, "--to", "onnx")
    assert code == 1
    assert f"{tmp_path}: holds no detector; give a trial" in text
