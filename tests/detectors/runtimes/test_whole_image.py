"""Tiles inside an exported graph find what the detector finds in tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detectors.canvas import place
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.models import load_model
from detectors.runtimes.agreement import agreement
from detectors.runtimes.export import exported
from detectors.runtimes.program import Wanted
from detectors.runtimes.whole_image import Placing, WholeImage, WholeImages, best
from detectors.tiling import survivors
from launch.cli.calibration import Pictures
from searchspace import load_space
from searchspace.errors import InputError
from searchspace.geometry import Canvas
from searchspace.tiles import FirstLook, Merge, Tiled, TileGrid, TileSize
from tests.detectors.deployable import attentive, needs_extra
from tests.detectors.test_tiling import crowded

SIZE = (110, 150)

TILES: dict[str, Tiled] = {
    "grid": TileGrid(rows=2, columns=3, overlap=0.2),
    "size": TileSize(side=64, overlap=0.1, merge=Merge(by="nms", threshold=0.4)),
    "and whole": TileGrid(rows=1, columns=2, whole=True, merge=Merge(per_class=False)),
    "one tile": TileSize(side=300),
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_shapes(tmp_path_factory.mktemp("data") / "shapes", ShapesConfig(8, 3, 96))


@pytest.fixture(scope="module")
def seeing(shapes: Path) -> Detector:
    """A detector that finds other things in other places, so that no two scores are equal."""
    config = load_space("quick").baseline().detector.changed(input_size=96)
    few = config.head.postprocess.changed(detections=20)  # the graph takes a step for each
    config = config.changed(head=config.head.changed(postprocess=few))
    return attentive(config, Pictures.read(shapes / "train", 96).images)


@pytest.fixture(scope="module")
def pictures(shapes: Path) -> torch.Tensor:
    """Three images [3, 3, H, W] of `SIZE`."""
    return Pictures.read(shapes / "val", Canvas(SIZE)).images[:3]


def cutting(plain: Detector, tiles: Tiled, resize: str = "stretch") -> Detector:
    """The same weights, looking at tiles."""
    detector = Detector(plain.config.changed(resize=resize, tiles=tiles))
    detector.load_state_dict(plain.state_dict())
    return detector.eval()


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(110, 150), (31, 500), (20, 30), (64, 64)])
def test_images_are_placed_as_by_the_canvas(size: tuple[int, int], resize: str) -> None:
    canvas = Canvas((64, 64), resize)
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    found, expected = Placing(size, canvas)(images), place(images, canvas)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("merge", [Merge(), Merge(by="nms", threshold=0.3, per_class=False)])
def test_the_best_are_the_first_survivors(merge: Merge) -> None:
    boxes, scores, labels = crowded(300, seed=1)
    expected = survivors(boxes, labels, merge)
    kept, order = best(boxes, scores, labels, merge, 40)
    assert order.tolist() == expected[:40].tolist()
    assert torch.equal(kept, scores[expected[:40]])
    kept, order = best(boxes, scores, labels, merge, 200)
    assert order[kept > 0].tolist() == expected.tolist()


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("name", TILES)
def test_an_image_is_found_as_in_tiles(
    seeing: Detector, pictures: torch.Tensor, name: str, resize: str
) -> None:
    detector, images = cutting(seeing, TILES[name], resize), pictures[:1]
    with torch.inference_mode():
        boxes, scores, labels = WholeImage(detector, SIZE)(images)
        expected = WholeImages(detector, SIZE).detect(images)
    most = expected.scores.shape[1]
    assert most > 5
    torch.testing.assert_close(scores[:, :most], expected.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(boxes[:, :most], expected.boxes, atol=1e-4, rtol=0)
    assert torch.equal(labels[:, :most], expected.labels)
    assert not scores[:, most:].any()


@needs_extra
@pytest.mark.parametrize(
    "target",
    [
        "onnx",
        pytest.param("openvino", marks=pytest.mark.slow),
        pytest.param("torch-export", marks=pytest.mark.slow),
    ],
)
def test_a_file_cuts_and_merges_itself(
    seeing: Detector, pictures: torch.Tensor, target: str, tmp_path: Path
) -> None:
    detector = cutting(seeing, TILES["and whole"])
    made = exported(detector, target, Wanted(image_size=SIZE))
    assert (made.metadata.batch, made.canvas) == (1, Canvas(SIZE))
    assert made.metadata.tiles_inside == detector.canvas.tiles
    model = load_model(made.save(tmp_path / "detector"))
    found = agreement(WholeImages(detector, SIZE), model.detector, pictures)
    assert (found.share, found.before > 10) == (1, True)
    assert (found.box or 0) < 0.05
    assert (found.confidence or 0) < 1e-3
    image = (pictures[0] * 255).to(torch.uint8)
    [alone] = model.detect([image])
    with torch.inference_mode():
        [tiled] = detector([image / 255])
    torch.testing.assert_close(alone["scores"][:10], tiled["scores"][:10], atol=1e-3, rtol=0)
    torch.testing.assert_close(alone["boxes"][:10], tiled["boxes"][:10], atol=0.1, rtol=0)


@needs_extra
@pytest.mark.parametrize(
    ("tiles", "target", "wanted", "message"),
    [
        (None, "onnx", {}, "does not cut images into tiles"),
        (TileGrid(first_look=FirstLook()), "onnx", {}, "a first look decides"),
        (TileGrid(), "executorch", {"raw": True}, "only onnx, torch-export, openvino can"),
        (TileGrid(), "onnx", {"raw": True}, "leave out what contradicts it"),
        (TileGrid(), "onnx", {"precision": "int8"}, "leave out what contradicts it"),
        (TileGrid(), "onnx", {"batch": 2}, "leave out what contradicts it"),
    ],
)
def test_what_a_file_with_tiles_cannot_be(
    seeing: Detector,
    tiles: Tiled | None,
    target: str,
    wanted: dict[str, object],
    message: str,
) -> None:
    detector = seeing if tiles is None else cutting(seeing, tiles)
    with pytest.raises(InputError, match=message):
        exported(detector, target, Wanted(image_size=SIZE, **wanted))
