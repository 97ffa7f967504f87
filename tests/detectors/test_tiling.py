"""Detection in tiles: the inputs, the way back, and merging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import batched_nms, nms

from compress.quantisation import calibration_images
from detectors.annotated import Annotated
from detectors.canvas import place
from detectors.data.dataset import Dataset
from detectors.data.node_cache import NodeCache
from detectors.data.reading import read_unannotated
from detectors.detector import Detector
from detectors.evaluate import detect_split, look_at_split
from detectors.models import PLAIN, Model
from detectors.postprocess import Detections
from detectors.runtimes import deploy
from detectors.tiling import (
    BATCH,
    Look,
    detect_images,
    looks_at,
    of_windows,
    planned,
    survivors,
)
from searchspace.geometry import Canvas, Window
from searchspace.tiles import FirstLook, Merge, NoFirstLook, TileGrid, TileSize

CPU = torch.device("cpu")
MakeDetector = Callable[..., Detector]

APART = Merge(by="nms", threshold=0.999)
"""Removes nothing but copies."""


def crowded(count: int, seed: int, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes that overlap a lot, xyxy, with scores in descending order and labels."""
    generator = torch.Generator().manual_seed(seed)
    corners = 100 * torch.rand(count, 2, generator=generator)
    sides = 5 + 30 * torch.rand(count, 2, generator=generator)
    scores = torch.rand(count, generator=generator).sort(descending=True).values
    labels = torch.randint(1, classes + 1, (count,), generator=generator)
    return torch.cat((corners, corners + sides), 1), scores, labels


@pytest.mark.parametrize("count", [0, 1, 40, 700])
@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_merging_by_nms_is_torchvisions(count: int, threshold: float) -> None:
    boxes, scores, labels = crowded(count, seed=count)
    merge = Merge(by="nms", threshold=threshold, per_class=False)
    assert survivors(boxes, labels, merge).tolist() == nms(boxes, scores, threshold).tolist()
    own = Merge(by="nms", threshold=threshold)
    expected = batched_nms(boxes.double(), scores.double(), labels, threshold)
    assert survivors(boxes, labels, own).tolist() == expected.tolist()


@pytest.mark.parametrize("per_class", [True, False])
def test_merging_by_ios_is_the_greedy_rule(per_class: bool) -> None:
    boxes, _, labels = crowded(600, seed=3)
    kept: list[int] = []
    for k, box in enumerate(boxes):
        others = boxes[kept]
        inner = torch.minimum(others[:, 2:], box[2:]) - torch.maximum(others[:, :2], box[:2])
        areas = [(b[..., 2:] - b[..., :2]).prod(-1) for b in (others, box)]
        ios = inner.clamp(min=0).prod(-1) / torch.minimum(*areas)
        same = labels[kept] == labels[k] if per_class else torch.ones(len(kept), dtype=torch.bool)
        if not ((ios > 0.5) & same).any():
            kept.append(k)
    found = survivors(boxes, labels, Merge(by="ios", threshold=0.5, per_class=per_class))
    assert found.tolist() == kept
    assert 50 < len(kept) < 400


def test_boxes_come_back_to_their_place_and_a_part_is_removed() -> None:
    """An object at a border: whole on one tile, a part of it on the next."""
    canvas = Canvas((100, 100), "stretch", TileGrid(rows=1, columns=2, overlap=0.5))
    # Tiles of 100 pixels (150 = s + s / 2), at 0 and 50.
    windows = canvas.windows((100, 150))
    assert windows == (Window(0, 0, 100, 100), Window(50, 0, 100, 100))
    boxes = torch.zeros(2, 2, 4)
    boxes[0, 0] = torch.tensor([0.30, 0.20, 0.60, 0.40])
    boxes[1, 0] = torch.tensor([0.00, 0.20, 0.10, 0.40])  # its part right of 50
    boxes[1, 1] = torch.tensor([0.70, 0.50, 0.90, 1.00])
    scores = torch.tensor([[0.9, 0.0], [0.5, 0.8]])
    labels = torch.tensor([[1, 0], [1, 2]])
    found = of_windows([Detections(boxes, scores, labels)], windows, canvas)
    expected = torch.tensor([[30.0, 20, 60, 40], [120, 50, 140, 100]])
    torch.testing.assert_close(found["boxes"], expected)
    assert found["labels"].tolist() == [1, 2]


LETTERBOXED = [
    ([0.2, 0.2, 0.4, 0.4], True),
    ([0.4, 0.2, 0.5, 0.4], True),
    ([0.5, 0.2, 0.7, 0.4], False),  # begins where the tile ends
    ([0.6, 0.2, 0.8, 0.4], False),  # on the grey beside it
    ([0.3, 0.2, 0.3, 0.4], False),
]
"""Boxes on the input of a tile of 50 x 100 pixels, which fills its left half, best first, and
whether they are detections there."""


def test_a_box_without_area_on_its_tile_or_image_is_no_detection() -> None:
    canvas = Canvas((100, 100), "letterbox", TileSize(side=(100, 50), overlap=0, merge=APART))
    boxes = torch.tensor([box for box, _ in LETTERBOXED])
    scores, labels = torch.linspace(0.9, 0.1, len(boxes)), torch.ones(len(boxes), dtype=torch.long)
    found = Detections(boxes[None], scores[None], labels[None])
    expected = scores[[real for _, real in LETTERBOXED]]
    assert torch.equal(found.of_image(0, 50, 100, canvas)["scores"], expected)
    windows = [Window(1000, 0, 50, 100), Window(1050, 0, 50, 100)]
    nothing = Detections(*(torch.zeros_like(part[None]) for part in (boxes, scores, labels)))
    tiled = of_windows([nothing, found], windows, canvas)
    assert torch.equal(tiled["scores"], expected)
    assert (tiled["boxes"][:, 2:] > tiled["boxes"][:, :2]).all()


def test_an_image_keeps_as_many_detections_as_an_input() -> None:
    canvas = Canvas((64, 64), "stretch", TileGrid(rows=1, columns=2, overlap=0))
    boxes = torch.rand(2, 3, 4).sort(-1).values * torch.tensor([0.1, 0.1, 0.2, 0.2])
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.8, 0.7, 0.2]])
    labels = torch.tensor([[1, 2, 3], [1, 2, 3]])
    found = of_windows([Detections(boxes, scores, labels)], canvas.windows((64, 128)), canvas)
    torch.testing.assert_close(found["scores"], torch.tensor([0.9, 0.8, 0.7]))


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_an_image_of_one_tile_is_found_as_without_tiles(
    make_detector: MakeDetector, resize: str
) -> None:
    plain = make_detector(resize=resize).eval()
    cut = make_detector(resize=resize, tiles=TileSize(side=128, whole=True)).eval()
    cut.load_state_dict(plain.state_dict())
    image = torch.rand(3, 90, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        [one], [same] = plain([image]), cut([image])
    assert len(one["scores"])
    for name, values in one.items():
        assert torch.equal(values, same[name])


def test_a_tile_is_found_as_an_image_of_its_own(make_detector: MakeDetector) -> None:
    """Without overlap there is nothing to merge: the image has what its tiles have."""
    tiles = TileGrid(rows=2, columns=2, overlap=0, merge=APART)
    cut, plain = make_detector(tiles=tiles).eval(), make_detector().eval()
    image = torch.rand(3, 100, 140, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        [found] = cut([image])
        boxes, scores = [], []
        for left, top in ((0, 0), (70, 0), (0, 50), (70, 50)):
            [one] = plain([image[:, top : top + 50, left : left + 70]])
            boxes.append(one["boxes"] + torch.tensor([left, top] * 2))
            scores.append(one["scores"])
    best = torch.cat(scores).argsort(descending=True, stable=True)[: len(found["scores"])]
    torch.testing.assert_close(found["scores"], torch.cat(scores)[best], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["boxes"], torch.cat(boxes)[best], atol=1e-2, rtol=0)


def test_images_come_back_in_order_however_their_tiles_are_batched() -> None:
    canvas = Canvas((8, 8), "stretch", TileSize(side=16, overlap=0, merge=Merge(by="nms")))
    sizes = [(16, 16), (48, 80), (16, 32), (32, 16)]  # 1, 15, 2 and 2 tiles
    looks = looks_at(sizes, canvas)
    assert [look.image for look in looks] == [0] + [1] * 15 + [2] * 2 + [3] * 2
    seen: list[int] = []

    def detect(inputs: Tensor) -> Detections:
        seen.append(len(inputs))
        values = inputs.mean((1, 2, 3))
        boxes = torch.tensor([0.25, 0.25, 0.75, 0.75]).expand(len(inputs), 1, 4)
        return Detections(boxes, values[:, None], torch.ones(len(inputs), 1, dtype=torch.long))

    images = [torch.full((3, *size), 0.1 * k) for k, size in enumerate(sizes, start=1)]
    found = detect_images(detect, images, canvas)
    assert seen == [BATCH, len(looks) - BATCH]
    assert [round(float(one["scores"][0]), 4) for one in found] == [0.1, 0.2, 0.3, 0.4]


def test_after_a_first_look_only_tiles_with_a_detection_are_looked_at() -> None:
    """Four tiles of 32 pixels. The first look finds something in the middle of one tile of the
    first image, poorly, and of one well, and nothing in the second image. The third is one tile."""
    tiles = TileSize(side=32, overlap=0, first_look=FirstLook(threshold=0.3))
    sizes, seen = [(64, 64), (64, 64), (16, 16)], []
    firsts = {
        0: ([[0.20, 0.20, 0.30, 0.30], [0.70, 0.20, 0.80, 0.30]], [0.2, 0.9]),
        1: ([[0.20, 0.20, 0.30, 0.30], [0, 0, 0, 0]], [0.29, 0.0]),
    }

    def run(canvas: Canvas, looks: Sequence[Look]) -> Iterator[Detections]:
        for number, window in looks:
            seen.append((number, *window[:2], canvas.tiles is None))
            boxes, scores = firsts.get(number, firsts[1])
            if canvas.tiles is not None:
                boxes, scores = [[0.25, 0.25, 0.5, 0.5], [0, 0, 0, 0]], [0.6, 0.0]
            labels = torch.tensor([[int(score > 0) for score in scores]])
            yield Detections(torch.tensor([boxes]), torch.tensor([scores]), labels)

    canvas = Canvas((8, 8), "stretch", tiles)
    plan = planned(run, sizes, canvas)
    one, two, _ = plan.found(run)
    assert seen == [(0, 0, 0, True), (1, 0, 0, True), (0, 32, 0, False), (2, 0, 0, False)]
    assert plan.inputs == pytest.approx((2 + 1 + 1) / 3)
    assert one["boxes"].tolist() == [[40, 8, 48, 16]]
    assert not len(two["scores"])
    # With the whole image, what the first look has found stays.
    both = replace(canvas, tiles=tiles.changed(whole=True))
    one, two, _ = planned(run, sizes, both).found(run)
    torch.testing.assert_close(one["scores"], torch.tensor([0.9, 0.6]))
    torch.testing.assert_close(two["scores"], torch.tensor([0.29]))


def test_a_first_look_that_finds_all_changes_nothing(
    shapes: tuple[Dataset, Dataset], make_detector: MakeDetector
) -> None:
    split = shapes[1]
    tiles = TileGrid(rows=2, columns=2, whole=True)
    every, first = (
        make_detector(tiles=tiles.changed(first_look=look)).eval()
        for look in (NoFirstLook(), FirstLook(threshold=1e-6))
    )
    first.load_state_dict(every.state_dict())
    one, same = (look_at_split(detector, split, CPU) for detector in (every, first))
    assert (one[1], same[1]) == (5, 5)
    np.testing.assert_allclose(one[0].scores, same[0].scores, atol=1e-5)
    known = Annotated.of(split, first.canvas, 2)
    with torch.inference_mode():
        assert known.ap(first.detect) == pytest.approx(known.ap(every.detect), abs=1e-6)


def test_a_split_is_scored_in_tiles_in_every_way_alike(
    shapes: tuple[Dataset, Dataset], make_detector: MakeDetector
) -> None:
    split = shapes[1]
    tiles = TileGrid(rows=2, columns=2, overlap=0.2, whole=True)
    detector = make_detector(tiles=tiles).eval()
    results = detect_split(detector, split, CPU)
    cached = detect_split(detector, split, CPU, NodeCache())
    assert np.array_equal(results.boxes, cached.boxes)
    model = Model(Path("unused"), detector, PLAIN, CPU, None)
    images = [
        torch.from_numpy(np.array(Image.open(record.path).convert("RGB"))).permute(2, 0, 1)
        for record in split.images
    ]
    by_model = torch.cat([one["boxes"] for one in model.detect(images)])
    theirs = torch.from_numpy(results.boxes)
    corners = torch.cat((theirs[:, :2], theirs[:, :2] + theirs[:, 2:]), 1)
    torch.testing.assert_close(by_model.double(), corners, atol=1e-2, rtol=0)


def test_a_runtime_finds_the_same_in_tiles(
    shapes: tuple[Dataset, Dataset], make_detector: MakeDetector
) -> None:
    detector = make_detector(tiles=TileGrid(rows=2, columns=2)).eval()
    split = replace(shapes[1], images=shapes[1].images[:2])
    deployed = deploy(detector, "onnxruntime", "float32", CPU)
    ours, theirs = detect_split(detector, split, CPU), detect_split(deployed, split, CPU)
    deployed.close()
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)


def test_calibration_and_comparison_see_tiles(
    shapes: tuple[Dataset, Dataset], make_detector: MakeDetector
) -> None:
    split = shapes[1]
    detector = make_detector(tiles=TileGrid(rows=2, columns=2, overlap=0)).eval()
    found = calibration_images(split, 3, detector.canvas)
    image = torch.from_numpy(np.array(Image.open(split.images[0].path).convert("RGB")))
    first = place(image.permute(2, 0, 1)[:, :48, :48], detector.canvas)
    assert torch.equal(found[0], first / 255)
    known = Annotated.of(split, detector.canvas, 4)
    assert len(known.split.images) == 4
    assert len(known.images) == 16
    with torch.inference_mode():
        assert known.ap(detector.detect) is not None
        assert known.ap(detector.detect, [1, 3]) is not None


def test_a_large_image_is_looked_at_in_small_batches(
    tmp_path: Path, make_detector: MakeDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 24 megapixels, no more than a batch of inputs is there at a time."""
    Image.new("RGB", (6000, 4000), "white").save(tmp_path / "large.jpg")
    detector = make_detector(tiles=TileSize(side=1024)).eval()
    split = read_unannotated(tmp_path, None, ("1", "2", "3", "4"))
    sizes: list[int] = []
    own = detector.detect

    def counted(inputs: Tensor) -> Detections:
        sizes.append(len(inputs))
        return own(inputs)

    monkeypatch.setattr(detector, "detect", counted)
    detect_split(detector, split, CPU)
    assert sizes == [BATCH] * 3  # 8 x 5 tiles, and padding
