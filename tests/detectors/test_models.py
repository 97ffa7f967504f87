"""A model in any form: the same detections, and all that is needed to run it in its file."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from detectors.data.images import ImageError
from detectors.detector import Detector
from detectors.found import Found
from detectors.models import load_model
from detectors.runtimes.export import export
from detectors.thresholds import Threshold, Thresholds, thresholds_file, write_thresholds
from searchspace.errors import InputError
from searchspace.geometry import Canvas
from tests.detectors.deployable import deployable, needs_extra

CHOSEN = Thresholds(
    rule="f1",
    images=4,
    classes={
        "one": Threshold(score=0.25),
        "two": Threshold(score=None),
        "three": Threshold(score=0.5),
    },
)


@pytest.fixture(scope="module")
def letterboxed() -> Detector:
    """With named classes, on whose input images keep their aspect ratio."""
    made = deployable("ssdmnetv1")
    config = made.config.changed(resize="letterbox")
    detector = Detector(config, tuple(CHOSEN.classes))
    detector.load_state_dict(made.state_dict())
    return detector.eval()


@needs_extra
@pytest.mark.parametrize(
    "target",
    [
        pytest.param(target, marks=pytest.mark.slow) if target == "torch-export" else target
        for target in ("onnx", "openvino", "torch-export")
    ],
)
def test_an_exported_file_finds_what_the_detector_finds(
    letterboxed: Detector, tmp_path: Path, target: str
) -> None:
    saved = load_model(letterboxed.save(tmp_path / "saved"))
    exported = load_model(export(letterboxed, target, tmp_path / "x", thresholds=CHOSEN))
    assert exported.canvas == saved.canvas == Canvas((64, 64), "letterbox")
    assert exported.classes == saved.classes == ("one", "two", "three")
    assert (exported.thresholds, saved.thresholds) == (CHOSEN, None)
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator)
        for size in ((48, 90), (90, 40), (64, 64))
    ]
    for one, other in zip(saved.detect(images), exported.detect(images), strict=True):
        assert len(one["scores"]) > 10
        torch.testing.assert_close(one["scores"], other["scores"], atol=1e-3, rtol=0)
        apart = (one["boxes"][:, None] - other["boxes"]).abs().amax(-1)
        same = (apart < 0.1) & (one["labels"][:, None] == other["labels"])
        assert same.any(1).all()


def test_thresholds_beside_a_model_come_with_it(letterboxed: Detector, tmp_path: Path) -> None:
    folder = letterboxed.save(tmp_path / "saved")
    assert write_thresholds(folder, CHOSEN) == folder / "thresholds.json"
    found = load_model(folder).thresholds
    assert found == CHOSEN
    assert found.scores().tolist() == [0.25, float("inf"), 0.5]
    assert thresholds_file(tmp_path / "x.onnx") == tmp_path / "x.thresholds.json"
    others = CHOSEN.model_copy(update={"classes": {"four": Threshold(score=0.1)}})
    write_thresholds(folder, others)
    with pytest.raises(InputError, match="classes four, but the model has one, two, three"):
        load_model(folder)


@needs_extra
def test_files_of_others_are_refused_by_name(tmp_path: Path) -> None:
    damaged = tmp_path / "x.onnx"
    damaged.write_bytes(b"not a model")
    for name, words in (
        ("x.onnx", "cannot be read as an exported"),
        ("y.xml", "no such file; sparrow export"),
        ("z.txt", "neither a folder"),
    ):
        with pytest.raises(InputError, match=words):
            load_model(tmp_path / name)


def test_what_is_found_on_an_image_has_names_and_pixels_whatever_the_image_is(
    letterboxed: Detector, tmp_path: Path
) -> None:
    model = load_model(letterboxed.save(tmp_path / "saved"))
    pixels = np.random.default_rng(0).integers(256, size=(48, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    [raw] = model.detect([torch.from_numpy(pixels).permute(2, 0, 1)])
    for image in (pixels, Image.fromarray(pixels), tmp_path / "image.png"):
        found = model.predict(image)
        assert isinstance(found, Found)
        assert len(found) == len(raw["scores"]) > 0
        assert found.boxes.tolist() == raw["boxes"].tolist()
        assert found.classes == tuple(model.classes[label - 1] for label in raw["labels"])
    name, score, box = next(iter(found))
    assert (name, score, len(box)) == (found.classes[0], found.scores[0], 4)
    assert len(model.predict(pixels, threshold=float(found.scores[2]))) >= 3
    assert len(model.predict(pixels, threshold=1.1)) == 0
    with pytest.raises(ImageError, match="uint8"):
        model.predict(pixels / 255)


def test_thresholds_that_were_chosen_apply(letterboxed: Detector, tmp_path: Path) -> None:
    folder = letterboxed.save(tmp_path / "saved")
    write_thresholds(folder, CHOSEN)
    model, image = load_model(folder), np.zeros((64, 64, 3), np.uint8)
    least = dict(zip(model.classes, CHOSEN.scores().tolist(), strict=True))
    kept = [(name, score) for name, score, _ in model.predict(image, 0.0) if score >= least[name]]
    assert [(name, score) for name, score, _ in model.predict(image)] == kept


def test_detections_are_those_of_supervision_where_it_is_installed(
    letterboxed: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = ModuleType("supervision")
    stand_in.__spec__ = ModuleSpec("supervision", None)
    stand_in.Detections = lambda **parts: parts
    monkeypatch.setitem(sys.modules, "supervision", stand_in)
    found = load_model(letterboxed.save(tmp_path / "saved")).predict(np.zeros((9, 9, 3), np.uint8))
    assert set(found) == {"xyxy", "confidence", "class_id", "data"}
    assert found["xyxy"].shape == (len(found["confidence"]), 4)
    assert set(found["class_id"].tolist()) <= {0, 1, 2}
    assert set(found["data"]["class_name"].tolist()) <= {"one", "two", "three"}
