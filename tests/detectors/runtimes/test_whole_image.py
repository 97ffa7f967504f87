"""Tiles inside an exported graph find what the detector finds in tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from detectors.canvas import place
from detectors.detector import Detector
from detectors.models import load_model
from detectors.runtimes.agreement import agreement
from detectors.runtimes.export import exported
from detectors.runtimes.program import Wanted
from detectors.runtimes.whole_image import Placing, WholeImage, WholeImages, best
from detectors.tiling import survivors
from searchspace.errors import InputError
from searchspace.geometry import Canvas
from searchspace.tiles import FirstLook, Merge, Tiled, TileGrid, TileSize
from tests.detectors.deployable import deployable, needs_extra
from tests.detectors.test_tiling import crowded

SIZE = (110, 150)

TILES: dict[str, Tiled] = {
    "grid": TileGrid(rows=2, columns=3, overlap=0.2),
    "size": TileSize(side=64, overlap=0.1, merge=Merge(by="nms", threshold=0.4)),
    "and whole": TileGrid(rows=1, columns=2, whole=True, merge=Merge(per_class=False)),
    "one tile": TileSize(side=300),
}


def cutting(tiles: Tiled, resize: str = "stretch") -> Detector:
    """A detector with tiles and few detections: the graph takes a step for each."""
    plain = deployable("ssdmnetv1")
    few = plain.config.head.postprocess.changed(detections=30)
    head = plain.config.head.changed(postprocess=few)
    detector = Detector(plain.config.changed(head=head, resize=resize, tiles=tiles))
    detector.load_state_dict(plain.state_dict())
    return detector.eval()


def pictures(count: int = 2, size: tuple[int, int] = SIZE) -> torch.Tensor:
    coarse = torch.rand(count, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(110, 150), (31, 500), (20, 30), (64, 64)])
def test_images_are_placed_as_by_the_canvas(size: tuple[int, int], resize: str) -> None:
    canvas, images = Canvas((64, 64), resize), pictures(2, size)
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
def test_an_image_is_found_as_in_tiles(name: str, resize: str) -> None:
    detector, images = cutting(TILES[name], resize), pictures(1)
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
@pytest.mark.parametrize("target", ["onnx", "openvino", "torch-export"])
def test_a_file_cuts_and_merges_itself(target: str, tmp_path: Path) -> None:
    detector = cutting(TILES["and whole"])
    made = exported(detector, target, Wanted(image_size=SIZE))
    assert (made.metadata.batch, made.canvas) == (1, Canvas(SIZE))
    assert made.metadata.tiles_inside == detector.canvas.tiles
    model = load_model(made.save(tmp_path / "detector"))
    images = pictures(3)
    found = agreement(WholeImages(detector, SIZE), model.detector, images)
    assert (found.share, found.before > 20) == (1, True)
    assert (found.box or 0) < 0.05
    assert (found.confidence or 0) < 1e-3
    [alone] = model.detect([(images[0] * 255).to(torch.uint8)])
    with torch.inference_mode():
        [tiled] = detector([(images[0] * 255).to(torch.uint8) / 255])
    torch.testing.assert_close(alone["scores"], tiled["scores"], atol=1e-3, rtol=0)
    torch.testing.assert_close(alone["boxes"], tiled["boxes"], atol=0.1, rtol=0)


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
    tiles: Tiled | None, target: str, wanted: dict[str, object], message: str
) -> None:
    detector = deployable("ssdmnetv1") if tiles is None else cutting(tiles)
    with pytest.raises(InputError, match=message):
        exported(detector, target, Wanted(image_size=SIZE, **wanted))
