"""The script beside an exported detector, run where Sparrow and PyTorch cannot be imported."""

from __future__ import annotations

import json
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.models import load_model
from detectors.thresholds import Threshold, Thresholds, read_thresholds, write_thresholds
from launch.cli.calibration import Pictures
from searchspace import load_space
from searchspace.tiles import FirstLook, Merge, Tiled, TileSize
from tests.alone import OURS, TORCH, run_alone
from tests.detectors.deployable import attentive, needs_extra

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_shapes(tmp_path_factory.mktemp("data") / "shapes", ShapesConfig(8, 2, 96))


@pytest.fixture(scope="module")
def seeing(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A letterboxed detector of named classes, with thresholds."""
    config = load_space("quick").baseline().detector.changed(input_size=96, resize="letterbox")
    made = attentive(config, Pictures.read(shapes / "train", 96).images)
    names = ("disc", "square", "triangle", "cross")
    detector = Detector(config, names)
    detector.load_state_dict(made.state_dict())
    folder = detector.save(tmp_path_factory.mktemp("seeing") / "compact")
    scores = {name: Threshold(score=0.2 + place / 10) for place, name in enumerate(names)}
    write_thresholds(folder, Thresholds(rule="f1", images=2, classes=scores))
    return folder


def detections_of_script(
    script: Path, images: list[Path], forbidden: tuple[str, ...] = (*OURS, *TORCH)
) -> dict[str, Any]:
    """What the script prints, run from another folder by a Python that sees no other code."""
    ended = run_alone(script, *images, forbidden=forbidden, cwd=script.parent.parent)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def wide_and_high(shapes: Path, folder: Path) -> list[Path]:
    """Images of other aspect ratios, so that placing them matters; one turned by its EXIF tag."""
    files = sorted((shapes / "val").iterdir())
    Image.open(files[0]).resize((150, 80)).save(folder / "wide.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(files[1]).resize((140, 90)).save(folder / "turned.png", exif=turned)
    return [folder / "wide.png", folder / "turned.png"]


def assert_as_ours(model: Path, images: list[Path], found: dict[str, Any]) -> None:
    """Hold what a script found to what Sparrow finds with the same file."""
    ours = load_model(model)
    assert ours.thresholds is not None
    least = ours.thresholds.scores()
    for file in images:
        image = Image.open(file)
        upright = image.transpose(Image.Transpose.ROTATE_270) if "turned" in file.name else image
        one = ours.detect([functional.pil_to_tensor(upright)])[0]
        shown = one["scores"] >= least[one["labels"] - 1]
        theirs = found[str(file)]
        assert 3 < int(shown.sum()) == len(theirs)
        names = [ours.classes[int(label) - 1] for label in one["labels"][shown]]
        expected = sorted(zip(names, one["boxes"][shown].tolist(), strict=True))
        got = sorted((row["class"], row["box"]) for row in theirs)
        for (name, box), (their_name, their_box) in zip(expected, got, strict=True):
            assert name == their_name
            assert box == pytest.approx(their_box, abs=1.5)
        scores = torch.tensor([row["score"] for row in theirs])
        torch.testing.assert_close(
            scores.sort().values, one["scores"][shown].sort().values, atol=0.02, rtol=0
        )


def no_image_is_no_traceback(script: Path, image: Path) -> None:
    """What is found in other images is printed all the same."""
    text, cut = image.with_name("text.png"), image.with_name("cut.png")
    text.write_text("no image")
    cut.write_bytes(image.read_bytes()[:200])
    bad = (image.with_name("gone.png"), text, cut, image.parent)
    ended = run_alone(script, *bad, image, cwd=script.parent)
    assert ended.returncode == 1
    assert json.loads(ended.stdout).keys() == {str(image)}
    lines = ended.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(file) for file in bad]
    assert all("this image cannot be read" in line for line in lines)


@needs_extra
@pytest.mark.parametrize(
    "options",
    [
        ("--to", "onnx"),
        ("--to", "openvino", "--raw", "--batch", "2"),
        pytest.param(("--to", "onnx", "--raw"), marks=pytest.mark.slow),
        pytest.param(("--to", "openvino"), marks=pytest.mark.slow),
        pytest.param(("--to", "torch-export", "--batch", "2"), marks=pytest.mark.slow),
    ],
)
def test_the_script_finds_what_sparrow_finds_without_sparrow(
    run: Run, seeing: Path, shapes: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    out, val = tmp_path / "out", shapes / "val"
    code, text = run("export", seeing, *options, "--out", out / "x", "--images", val, "--json")
    assert code == 0, text
    result = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    (check,) = result["checks"]
    assert check["on"] == f"2 images of {val}"
    assert check["agreement"]["before"] == check["agreement"]["matched"] > 10
    assert 0 <= check["agreement"]["box"] < 0.01
    assert result["beside"] == [str(out / "README.md"), str(out / "run.py")]
    model, images = Path(result["file"]), wide_and_high(shapes, tmp_path)
    forbidden = OURS if "torch-export" in options else (*OURS, *TORCH)
    found = detections_of_script(out / "run.py", images, forbidden)
    assert_as_ours(model, images, found)
    if options == ("--to", "onnx"):
        no_image_is_no_traceback(out / "run.py", images[0])
    about = (out / "README.md").read_text()
    assert "`disc`, `square`, `triangle`, `cross`" in about
    assert f"- {check['on']}:" in about
    assert ("candidate_boxes" in about) == ("--raw" in options)
    assert ("float32 [2, 3, 96, 96]" in about) == ("--batch" in options)


@needs_extra
@pytest.mark.parametrize(
    "tiles",
    [
        TileSize(side=96, first_look=FirstLook(threshold=0.2)),
        pytest.param(TileSize(side=96, overlap=0.1, merge=Merge(by="nms")), marks=pytest.mark.slow),
    ],
)
def test_the_script_cuts_images_into_tiles_and_merges(
    run: Run, seeing: Path, shapes: Path, tmp_path: Path, tiles: Tiled
) -> None:
    """Tiles as large as the input are not resized, in which Pillow and PyTorch differ."""
    plain = Detector.load(seeing)
    cut = Detector(plain.config.changed(tiles=tiles), plain.classes)
    cut.load_state_dict(plain.state_dict())
    folder = cut.save(tmp_path / "compact")
    thresholds = read_thresholds(seeing, plain.classes)
    assert thresholds is not None
    write_thresholds(folder, thresholds)
    out = tmp_path / "out"
    arguments = ("--to", "onnx", "--out", out / "x", "--images", shapes / "val")
    code, text = run("export", folder, *arguments)
    assert code == 0, text
    images = wide_and_high(shapes, tmp_path)
    found = detections_of_script(out / "run.py", images)
    assert_as_ours(out / "x.onnx", images, found)
    assert tiles.in_words() in (out / "README.md").read_text()


@needs_extra
@pytest.mark.slow
def test_the_script_runs_in_an_environment_of_its_own(
    run: Run, seeing: Path, shapes: Path, tmp_path: Path
) -> None:
    out, images = tmp_path / "out", wide_and_high(shapes, tmp_path)
    code, text = run("export", seeing, "--to", "onnx", "--out", out / "x.onnx")
    assert code == 0, text
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare/bin/python"
    install = [python, "-m", "pip", "install", "-q", "numpy", "pillow", "onnxruntime"]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        pytest.skip("packages cannot be installed here")
    ended = subprocess.run(
        [python, "-I", out / "run.py", *images], capture_output=True, text=True, check=True
    )
    assert_as_ours(out / "x.onnx", images, json.loads(ended.stdout))


@needs_extra
def test_files_of_others_are_left_alone(
    run: Run, seeing: Path, shapes: Path, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("mine")
    arguments = ("export", seeing, "--to", "onnx", "--out", tmp_path / "x", "--images")
    for _ in range(2):
        assert run(*arguments, shapes / "val")[0] == 0
    assert (tmp_path / "README.md").read_text() == "mine"
    assert {file.name for file in tmp_path.iterdir()} == {
        "README.md", "run.py", "x.onnx", "x.onnx.README.md",
    }  # fmt: skip
