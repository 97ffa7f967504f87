"""`sparrow export` as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detectors.detector import Detector
from detectors.onnx_graph import DETECTIONS, INPUT
from detectors.runtimes.libraries import library
from launch.export_command import read_images
from tests.detectors.deployable import deployable, images_for, needs_extra

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
    images = images_for(Detector.load(saved), 3)
    scores = session.run(list(DETECTIONS), {INPUT: images.numpy()})[1]
    with torch.no_grad():
        expected = Detector.load(saved).detect(images).scores
    torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-3, rtol=0)


@needs_extra
def test_int8_is_calibrated_on_a_folder_of_images(
    run: Run, saved: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "small.xml"
    arguments = ("export", saved, "--to", "openvino", "--precision", "int8", "--out", out)
    code, text = run(*arguments, "--images", shapes_folder / "train")
    assert (code, out.exists()) == (0, True), text
    code, text = run(*arguments, "--images", tmp_path / "new")
    assert code == 1
    assert "no images, which int8 is calibrated on" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "tflite"), "target 'tflite': there are onnx, torch-export, openvino"),
        (("--to", "torch-export", "--precision", "int8"), "torch-export has float32"),
        (("--to", "onnx", "--precision", "int8"), "give --images, a folder of training images"),
        (("--to", "onnx", "--images", "x"), "float32 needs no calibration; leave it out"),
    ],
)
def test_what_cannot_be_exported_is_said(
    run: Run, saved: Path, options: tuple[str, ...], message: str
) -> None:
    code, text = run("export", saved, *options)
    assert code == 1
    assert message in text


def test_a_folder_without_a_detector_is_named(run: Run, tmp_path: Path) -> None:
    code, text = run("export", tmp_path, "--to", "onnx")
    assert code == 1
    assert f"{tmp_path / 'detector.json'}: No such file or directory" in text
    assert "is this a saved detector?" in text


def test_images_are_spread_over_a_folder(shapes_folder: Path) -> None:
    every = read_images(shapes_folder / "train", 32, 99)
    assert every.shape == (16, 3, 32, 32)
    assert 0 <= every.min() < 0.5 < every.max() <= 1
    assert torch.equal(read_images(shapes_folder / "train", 32, 4), every[::4])
