"""The draws of a sample against torchvision's transforms: boxes, pixels and distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from detectors.canvas import MEAN_COLOUR, place
from detectors.data.pixels import Decoded
from detectors.data.samples import Sample
from detectors.data.scene import Scene
from detectors.data.transforms import (
    Crop,
    augmented,
    cropped,
    iou_crop,
    least_side,
    zoomed_out,
)
from searchspace.augmentation import Augment
from searchspace.geometry import Canvas
from tests.detectors.data.scenes import Album
from tests.shared import shared_data

CANVASES = [Canvas((96, 96)), Canvas((80, 112), "letterbox"), Canvas((300, 300))]


@pytest.fixture(scope="module")
def photographs() -> list[Sample]:
    """Two images of blood cells and three of COCO's, with the boxes of all their objects."""
    found = []
    for name, count in (("bccd", 2), ("coco_mini", 3)):
        split = shared_data(name)[0]
        for record in split.images[:count]:
            boxes = torch.tensor([a.box for a in split.annotations[record.id]])
            labels = torch.arange(len(boxes))
            found.append((Decoded().get(record), {"boxes": boxes, "labels": labels}))
    return found


Drawn = tuple[tuple[int, int, int, int], Crop | None, bool]
"""A window to zoom out to, a crop of it, and whether it is mirrored."""


def draw(scene: Scene, seed: int) -> tuple[Drawn, Scene]:
    """Some numbers, and the scene after them."""
    rng = np.random.default_rng(seed)
    window = zoomed_out(scene.size, 4.0 if seed % 2 else 1.0, rng)
    scene = scene.window(*window)
    crop = iou_crop(scene.boxes, scene.size, rng)
    scene = cropped(scene, crop) if crop else scene
    mirrored = seed % 3 == 0
    return (window, crop, mirrored), scene.mirrored() if mirrored else scene


def theirs(sample: Sample, drawn: Drawn, canvas: Canvas) -> tuple[Tensor, Tensor, Tensor]:
    """Image, boxes and numbers of the objects after the same by torchvision's functions."""
    image, target = sample
    (left, top, width, height), crop, mirrored = drawn
    kept = target["labels"]
    boxes = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=image.shape[1:])
    padding = [-left, -top, width + left - image.shape[2], height + top - image.shape[1]]
    both = [
        functional.pad(image, padding, fill=list(MEAN_COLOUR)),
        functional.pad(boxes, padding),
    ]
    if crop:
        both = [functional.crop(one, crop.top, crop.left, crop.height, crop.width) for one in both]
        inside = torch.from_numpy(crop.centred)
        kept, both[1] = kept[inside], tv_tensors.wrap(both[1][inside], like=both[1])
    if mirrored:
        both = [functional.horizontal_flip(one) for one in both]
    content = list(canvas.content(both[0].shape[1:]))
    boxes = functional.resize(both[1], content).as_subclass(Tensor)
    return place(both[0], canvas), boxes, kept


@pytest.mark.parametrize("canvas", CANVASES[:2])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_those_of_torchvision(
    photographs: list[Sample], canvas: Canvas, seed: int
) -> None:
    for sample in photographs:
        drawn, scene = draw(Album().scene(sample), seed)
        _, boxes, kept = theirs(sample, drawn, canvas)
        placed = scene.placed(canvas)
        assert placed.size == canvas.size
        assert placed.target["labels"].tolist() == kept.tolist()
        assert np.allclose(placed.boxes, boxes.numpy(), atol=2e-3)


@pytest.mark.parametrize("seed", range(6))
def test_pixels_are_those_of_torchvision_but_for_edges(
    photographs: list[Sample], seed: int
) -> None:
    canvas = CANVASES[2] if seed % 2 else CANVASES[0]
    for sample in photographs:
        album = Album()
        drawn, scene = draw(album.scene(sample), seed)
        expected, _, _ = theirs(sample, drawn, canvas)
        image, _ = album.seen(scene.placed(canvas), canvas)
        error = (image.int() - expected.int()).abs().float()
        # Two kinds of rounding within the image; half of a pixel mixed with the ground at its edge.
        assert error.median() <= 1
        assert error.mean() < 0.6
        if drawn[0][2:] == tuple(sample[0].shape[:0:-1]):
            assert error.max() <= 2


@pytest.mark.parametrize("seed", range(4))
def test_a_smaller_copy_shows_the_same_in_the_same_places(
    photographs: list[Sample], seed: int
) -> None:
    for image, target in photographs[:3]:
        size = (image.shape[1], image.shape[2])
        small = functional.resize(image, [round(0.61 * side) for side in size])
        seen = []
        for pixels in (image, small):
            album = Album()
            scene = draw(album.scene((pixels, target), size), seed)[1].placed(CANVASES[0])
            seen.append(album.seen(scene, CANVASES[0]))
        assert torch.equal(seen[0][1]["boxes"], seen[1][1]["boxes"])
        (first, second), blurred = (s[0].float() for s in seen), 5
        close = [functional.gaussian_blur(one, [blurred, blurred]) for one in (first, second)]
        error = (close[0] - close[1]).abs().mean()
        moved = (close[0][..., 1:] - close[1][..., :-1]).abs().mean()
        assert error < 3
        assert error < 0.6 * moved, "moved by a pixel, they differ more"


def alike(first: list[float], second: list[float]) -> bool:
    return ks_2samp(first, second).pvalue > 0.001


def test_zoom_outs_are_distributed_like_torchvisions() -> None:
    image = tv_tensors.Image(torch.zeros(3, 90, 140, dtype=torch.uint8))
    torch.manual_seed(0)
    transform, rng = v2.RandomZoomOut(side_range=(1.0, 4.0)), np.random.default_rng(0)
    padded = [transform.make_params([image])["padding"] for _ in range(600)]
    windows = [zoomed_out((90, 140), 4.0, rng) for _ in range(600)]
    assert alike([140 + left + right for left, _, right, _ in padded], [w[2] for w in windows])
    assert alike([90 + top + below for _, top, _, below in padded], [w[3] for w in windows])
    assert alike([left for left, *_ in padded], [-w[0] for w in windows])
    assert alike([top for _, top, *_ in padded], [-w[1] for w in windows])


BOXES = [[10, 10, 30, 40], [60, 20, 130, 85], [100, 5, 108, 11], [0, 0, 140, 90]]


def test_crops_are_distributed_like_torchvisions() -> None:
    image = tv_tensors.Image(torch.zeros(3, 90, 140, dtype=torch.uint8))
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor(BOXES[:3], dtype=torch.float32), format="XYXY", canvas_size=(90, 140)
    )
    torch.manual_seed(0)
    transform, rng = v2.RandomIoUCrop(), np.random.default_rng(0)
    theirs = [transform.make_params([image, boxes]) for _ in range(200)]
    ours = [iou_crop(np.array(BOXES[:3], float), (90, 140), rng) for _ in range(1500)]
    whole = sum(1 for crop in ours if crop is None) / len(ours)
    assert whole == pytest.approx(sum(1 for crop in theirs if not crop) / 200, abs=0.09)
    found = [crop for crop in ours if crop]
    for name in ("left", "top", "width", "height"):
        assert alike([crop[name] for crop in theirs if crop], [getattr(c, name) for c in found])
    kept = [float(crop["is_within_crop_area"].sum()) for crop in theirs if crop]
    assert alike(kept, [float(crop.centred.sum()) for crop in found])


def test_a_crop_keeps_what_it_promises() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        crop = iou_crop(np.array(BOXES, float), (90, 140), rng)
        if crop is None:
            continue
        assert 0 <= crop.left <= 140 - crop.width
        assert 0 <= crop.top <= 90 - crop.height
        assert 0.5 <= crop.width / crop.height <= 2
        assert min(crop.width / 140, crop.height / 90) > 0.28
        assert crop.centred.any()
    assert iou_crop(np.zeros((0, 4)), (90, 140), rng) is None
    assert iou_crop(np.array([[0.0, 0, 1, 1]]), (1, 1), rng) is None


def one_box(box: list[float], size: tuple[int, int]) -> Scene:
    target = {"boxes": torch.tensor([box]), "labels": torch.ones(1, dtype=torch.long)}
    return Album().scene((torch.zeros(3, *size, dtype=torch.uint8), target))


@pytest.mark.parametrize("side", [33, 37, 49, 97, 333, 641])
def test_objects_at_the_right_border_are_kept(side: int) -> None:
    """Rounded in float32, a box at the border may end a little outside of it."""
    still = Augment(photometric=0, zoom_out=0, crop=0, flip=0)
    rng = np.random.default_rng(0)
    for canvas in (Canvas((300, 300)), Canvas((97, 61), "letterbox")):
        scene = one_box([side / 3, side / 7, side, side], (side, side))
        found = augmented(scene, still, canvas, rng)
        assert len(found.boxes) == 1
        assert found.boxes[0, 2] == pytest.approx(canvas.content((side, side))[1], abs=1e-6)


@pytest.mark.parametrize(
    ("share", "width", "kept"),
    [(0.0, 1, True), (0.01, 1, False), (0.01, 3, True), (0.03, 5, False), (0.03, 6, True)],
)
def test_what_is_too_small_to_be_learnt_is_removed(share: float, width: int, kept: bool) -> None:
    """From 192 to 96 pixels; the least side is a share of the input, and at least a pixel."""
    augment = Augment(photometric=0, zoom_out=0, crop=0, flip=0, min_side=share)
    scene = one_box([20, 20, 20 + width, 90], (192, 192))
    found = augmented(scene, augment, CANVASES[0], np.random.default_rng(0))
    assert (len(found.boxes) == 1) == kept
    assert least_side(augment, CANVASES[0]) == (max(1.0, share * 96) if share else 0)


@pytest.mark.parametrize("part", ["zoom_out", "crop", "flip"])
def test_each_part_is_drawn_with_its_probability(part: str) -> None:
    scene, rng = one_box([40, 40, 90, 70], (120, 160)), np.random.default_rng(0)
    still = scene.placed(CANVASES[0]).layers[0].matrix

    def changed(probability: float) -> float:
        """The share of scenes that are not only placed."""
        nothing = {"photometric": 0, "zoom_out": 0, "crop": 0, "flip": 0}
        augment = Augment(**(nothing | {part: probability}))
        made = [augmented(scene, augment, CANVASES[0], rng) for _ in range(250)]
        return sum(not np.allclose(one.layers[0].matrix, still) for one in made) / 250

    always = changed(1.0)
    # "No crop after all" is one of the options, and others may be in vain for small objects.
    assert 0.6 < always < 6 / 7 if part == "crop" else always == 1
    assert changed(0.0) == 0
    assert changed(0.4) == pytest.approx(0.4 * always, abs=0.08)
